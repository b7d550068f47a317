//! Connections: ids, lists, messages, slow readers (wire rows 29 to 33, 39 to 41).
