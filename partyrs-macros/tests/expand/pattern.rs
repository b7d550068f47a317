struct Join {
    #[frame(pattern("^[a-z]+$"))]
    name: Option<String>,
}
