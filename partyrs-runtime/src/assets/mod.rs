//! Static files beside the rooms: from a folder, or from the binary itself.
//!
//! What HTTP asks of files (types, ranges, conditions, compressed variants) is done by `tower-http`;
//! `source.rs` gives it the files, `site.rs` says which requests it gets, and what is answered
//! when there is no file.

mod site;
mod source;

use std::path::{Path, PathBuf};

pub(crate) use self::site::Site;
use self::source::Source;

/// Static files for [`Builder::assets`](crate::Builder::assets): a folder, or files embedded in the binary.
///
/// They answer GET and HEAD for what is no room: `/` and `/x/` with the `index.html` of that
/// folder, `/x` with a redirect to `/x/` if `x` is a folder. With `ETag` and `Last-Modified`
/// for what a client has already, and `Range` for parts. If there is `app.js.br` or
/// `app.js.gz` beside `app.js`, clients that take it get that. What is no file is answered with
/// `404.html` and status 404 if there is one, else with the text `Not found`.
///
/// Never served: files and folders whose names begin with a dot, what is outside of the folder
/// whatever the path says, and links that lead there; a link within the folder is followed. A file is read
/// in pieces of 64 KiB as fast as its client takes them.
///
/// # Examples
///
/// ```
/// # use partyrs::prelude::*;
/// # use partyrs_runtime::{Assets, Host};
/// # struct Chat;
/// # impl PartyServer for Chat {
/// #     type Message = String;
/// #     async fn on_start(_: &Room) -> Result<Self> { Ok(Chat) }
/// # }
/// let plain = Host::builder().party::<Chat>("main").assets("public");
/// let single_page = Host::builder().party::<Chat>("main").assets(Assets::folder("dist").single_page());
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Assets {
    source: Source,
    single_page: bool,
}

/// Why static files cannot be served. The text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssetsError {
    /// There is nothing of this name.
    #[error(
        "folder {} for static files does not exist{}; make it, or give `.assets(..)` another",
        .folder.display(), seen_from(.folder)
    )]
    Missing {
        /// As it was given.
        folder: PathBuf,
    },
    /// It is something else.
    #[error("{} for static files is no folder; give `.assets(..)` the folder that it is in", .path.display())]
    NoFolder {
        /// As it was given.
        path: PathBuf,
    },
    /// The system does not let us.
    #[error("folder {} for static files cannot be read: {source}; let the user who runs this read it", .folder.display())]
    Unreadable {
        /// As it was given.
        folder: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Single-page mode has no page.
    #[error(
        "single-page mode answers with `index.html`, but {files} have none; add it, or leave out `.single_page()`"
    )]
    NoPage {
        /// Which files, in words.
        files: String,
    },
}

impl Assets {
    /// The files of this folder, read when they are asked for; a relative path is seen from
    /// where the program is run. The folder itself may be a link, and the link may be changed
    /// while the host serves.
    pub fn folder(folder: impl Into<PathBuf>) -> Self {
        Self { source: Source::folder(folder.into()), single_page: false }
    }

    /// The files that `E` has put into the binary: a type with `#[derive(rust_embed::Embed)]` of
    /// the crate [`rust-embed`](https://docs.rs/rust-embed) 8. All of it as for a folder.
    ///
    /// A debug build reads the folder of `E` when this is called, and embeds nothing, unless
    /// `rust-embed` has its feature `debug-embed`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use partyrs::prelude::*;
    /// # use partyrs_runtime::{Assets, Host};
    /// # struct Chat;
    /// # impl PartyServer for Chat {
    /// #     type Message = String;
    /// #     async fn on_start(_: &Room) -> Result<Self> { Ok(Chat) }
    /// # }
    /// #[derive(rust_embed::Embed)]
    /// #[folder = "dist"]
    /// # #[allow_missing = true]
    /// struct Site;
    ///
    /// let host = Host::builder().party::<Chat>("main").assets(Assets::embedded::<Site>());
    /// ```
    #[cfg(feature = "embed")]
    pub fn embedded<E: rust_embed::RustEmbed>() -> Self {
        Self { source: Source::embedded::<E>(), single_page: false }
    }

    /// For an app whose paths are made up in the browser: a navigation to what is no file is
    /// answered with `index.html` and 200. A navigation is a GET or HEAD whose `Accept` names
    /// `text/html`, or with `Sec-Fetch-Mode: navigate`; all else that is missing, such as a
    /// script, stays 404. Rooms, and addresses of parties that there are not, are not asked for
    /// here at all. The host is not built without an `index.html`.
    pub fn single_page(mut self) -> Self {
        self.single_page = true;
        self
    }

    /// # Errors
    ///
    /// What is wrong with the folder.
    pub(crate) fn open(&self) -> Result<Site, AssetsError> {
        self.source.check()?;
        if self.single_page && !self.source.has_page() {
            return Err(AssetsError::NoPage { files: self.source.to_string() });
        }
        Ok(Site::new(self.source.clone(), self.single_page))
    }
}

/// A folder: `.assets("public")`.
impl<P: AsRef<Path>> From<P> for Assets {
    fn from(folder: P) -> Self {
        Self::folder(folder.as_ref())
    }
}

/// Where a relative path was looked for.
fn seen_from(folder: &Path) -> String {
    match std::env::current_dir() {
        Ok(here) if folder.is_relative() => format!(" in {}", here.display()),
        _ => String::new(),
    }
}
