//! What the documents say of the tests.

use std::path::Path;

/// Every `module::name` in `docs/wire.md` is a function of that module.
#[test]
fn the_wire_document_names_only_tests_that_exist() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(tests.join("../docs/wire.md")).unwrap();
    let mut names_count = 0;
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_:".contains(&byte);
    let is_test = |code: &&str| code.contains("::") && code.bytes().all(is_part);
    for name in document.split('`').filter(is_test) {
        let (module, function) = name.rsplit_once("::").unwrap();
        let file = tests.join("it").join(module.replace("::", "/")).with_extension("rs");
        let source = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(source.contains(&format!("fn {function}()")), "{name} is not in {}", file.display());
        names_count += 1;
    }
    assert!(names_count > 100, "only {names_count} tests were found in the document");
}
