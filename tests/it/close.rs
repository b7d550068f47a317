//! How connections end (wire rows 33 to 37).
