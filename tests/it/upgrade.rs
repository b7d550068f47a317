//! From an upgrade request to a connection (wire rows 18 to 25).
