//! Plain HTTP to a room, and static files (wire rows 8 to 17 and 44).
