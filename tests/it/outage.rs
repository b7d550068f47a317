//! What clients see when a commit fails: an engine that refuses on demand.
