#[frame(rename_all_fields = "camelCase", check = "Ask::is_right")]
enum Ask {
    #[frame(rename = "say", alias = "speak")]
    Say {
        #[frame(alias = "message", len(min = 1, max = 2000))]
        full_text: String,
        #[frame(default, range(max = 3))]
        level: u8,
        #[frame(default = "any", skip_serializing_if = "is_any")]
        colour: Colour,
        #[frame(skip)]
        from: Secret,
        #[frame(flatten)]
        rest: Map,
    },
    Invite {
        #[frame(inner(len(max = 20), custom = "is_free"))]
        names: Vec<Option<String>>,
    },
    Draw(#[frame(nested)] Shape),
    #[frame(other)]
    Unknown(String),
    #[frame(binary)]
    Upload(#[frame(bytes(max = 4096))] Bytes),
}
