//! Starting a host: settings, folders and ports that cannot be used.
