//! Which URLs are rooms (wire rows 1 to 7).
