//! Kill -9 of a real server process: nothing that a client saw is lost.
