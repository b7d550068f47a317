#[frame(content = "data")]
enum Ask {
    Leave,
    Say { text: String },
    Seat(u8),
    Line(Point, Point),
}
