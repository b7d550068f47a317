//! How a host ends (wire row 42).
