#[frame(tag = "kind", rename_all = "kebab-case")]
enum Ask<T> {
    Leave,
    Say { text: String, to: Option<T> },
    Move(Point),
}
