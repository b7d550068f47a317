//! What the code that the derives write calls. Not for use by hand.

pub use serde;
pub use serde_json;
