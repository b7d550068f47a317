//! What rustc says to someone who uses the derives wrongly; `ui/<what_is_wrong>.stderr` has
//! the words. After a change of them: `TRYBUILD=overwrite cargo test -p partyrs --all-features --test ui`,
//! then read the difference.

#[test]
fn each_mistake_is_one_error_at_the_wrong_token() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
    if cfg!(feature = "pattern") {
        cases.compile_fail("tests/ui/pattern/*.rs");
    }
    if cfg!(feature = "protocol") {
        cases.compile_fail("tests/ui/protocol/*.rs");
    }
}
