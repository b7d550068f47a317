#[frame(rename_all = "camelCase", deny_unknown_fields, default)]
struct Seat<T> {
    #[frame(range(min = 1, max = 40))]
    row_number: Option<u8>,
    #[frame(nested)]
    holder: T,
}
