//! A real host on port 0, and everything that a client may see of it.
