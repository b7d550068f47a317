//! Where static files come from, as `tower-http` wants to have them: a folder, or the binary.
//!
//! Paths come as `./a/b`, decoded, with neither `..` nor a root in them. In a folder that is not
//! all: a link may lead out of it, and what is no file may never end (a pipe).

use std::fmt;
use std::fs;
use std::future::{Ready, ready};
use std::io::{self, Cursor, ErrorKind, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tower_http::services::fs::{Backend, File, Metadata};

use super::AssetsError;

/// The page of a folder.
const PAGE: &str = "index.html";

#[derive(Clone, Debug)]
pub(super) enum Source {
    Folder(Arc<Path>),
    #[cfg(feature = "embed")]
    Embedded(Arc<embedded::Files>),
}

/// A file that was opened, and what was known of it then.
pub(crate) struct OpenFile {
    about: About,
    content: Content,
}

enum Content {
    OnDisk(tokio::fs::File),
    #[cfg_attr(not(feature = "embed"), expect(dead_code, reason = "only embedded files are in memory"))]
    InMemory(Cursor<Bytes>),
}

/// What there is to know of a file or folder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    is_dir: bool,
    len: u64,
    modified: SystemTime,
}

impl Source {
    pub(super) fn folder(folder: PathBuf) -> Self {
        Self::Folder(folder.into())
    }

    #[cfg(feature = "embed")]
    pub(super) fn embedded<E: rust_embed::RustEmbed>() -> Self {
        Self::Embedded(Arc::new(embedded::Files::of::<E>()))
    }

    /// Whether files can be read at all.
    pub(super) fn check(&self) -> Result<(), AssetsError> {
        match self {
            Self::Folder(folder) => {
                let folder = folder.to_path_buf();
                match fs::read_dir(&folder) {
                    Ok(_) => Ok(()),
                    Err(error) if error.kind() == ErrorKind::NotFound => Err(AssetsError::Missing { folder }),
                    Err(_) if folder.metadata().is_ok_and(|about| !about.is_dir()) => {
                        Err(AssetsError::NoFolder { path: folder })
                    }
                    Err(source) => Err(AssetsError::Unreadable { folder, source }),
                }
            }
            #[cfg(feature = "embed")]
            Self::Embedded(_) => Ok(()),
        }
    }

    /// Whether there is an `index.html` at the top.
    pub(super) fn has_page(&self) -> bool {
        match self {
            Self::Folder(folder) => open_within(folder, Path::new(PAGE)).is_ok(),
            #[cfg(feature = "embed")]
            Self::Embedded(files) => files.open(Path::new(PAGE)).is_ok(),
        }
    }
}

/// In words.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "the files of {}", folder.display()),
            #[cfg(feature = "embed")]
            Self::Embedded(_) => f.write_str("the embedded files"),
        }
    }
}

impl Backend for Source {
    type File = OpenFile;
    type Metadata = About;
    type OpenFuture = BoxFuture<'static, io::Result<OpenFile>>;
    type MetadataFuture = BoxFuture<'static, io::Result<About>>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        match self {
            Self::Folder(folder) => {
                let folder = Arc::clone(folder);
                off_the_runtime(move || open_within(&folder, &path)).boxed()
            }
            #[cfg(feature = "embed")]
            Self::Embedded(files) => ready(files.open(&path)).boxed(),
        }
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        match self {
            Self::Folder(folder) => {
                let folder = Arc::clone(folder);
                off_the_runtime(move || About::of(&fs::metadata(within(&folder, &path)?)?)).boxed()
            }
            #[cfg(feature = "embed")]
            Self::Embedded(files) => ready(files.about(&path)).boxed(),
        }
    }
}

async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Opens a file of `folder`. What is no file is not there: a pipe would be waited for.
fn open_within(folder: &Path, path: &Path) -> io::Result<OpenFile> {
    let path = within(folder, path)?;
    if !fs::metadata(&path)?.is_file() {
        return Err(ErrorKind::NotFound.into());
    }
    let file = fs::File::open(&path)?;
    let about = About::of(&file.metadata()?)?;
    Ok(OpenFile { about, content: Content::OnDisk(file.into()) })
}

/// Where `path` leads, if that is within `folder` and nothing on the way there begins with a dot.
/// Links are followed first, that to the folder itself too, which may be changed at any time.
fn within(folder: &Path, path: &Path) -> io::Result<PathBuf> {
    let folder = folder.canonicalize()?;
    let found = folder.join(path).canonicalize()?;
    let is_hidden = |part: Component<'_>| part.as_os_str().as_encoded_bytes().starts_with(b".");
    match found.strip_prefix(&folder) {
        Ok(rest) if !rest.components().any(is_hidden) => Ok(found),
        _ => {
            let (link, to) = (path.display(), found.display());
            tracing::warn!(%link, %to, "a link among the static files leads to what is not served");
            Err(ErrorKind::NotFound.into())
        }
    }
}

impl About {
    fn of(about: &fs::Metadata) -> io::Result<Self> {
        Ok(Self { is_dir: about.is_dir(), len: about.len(), modified: about.modified()? })
    }
}

impl Metadata for About {
    fn is_dir(&self) -> bool {
        self.is_dir
    }

    fn modified(&self) -> io::Result<SystemTime> {
        Ok(self.modified)
    }

    fn len(&self) -> u64 {
        self.len
    }
}

impl File for OpenFile {
    type Metadata = About;
    type MetadataFuture<'a> = Ready<io::Result<About>>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        ready(Ok(self.about))
    }
}

impl AsyncRead for OpenFile {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.content {
            Content::OnDisk(file) => Pin::new(file).poll_read(cx, buf),
            Content::InMemory(bytes) => Pin::new(bytes).poll_read(cx, buf),
        }
    }
}

impl AsyncSeek for OpenFile {
    fn start_seek(mut self: Pin<&mut Self>, position: SeekFrom) -> io::Result<()> {
        match &mut self.content {
            Content::OnDisk(file) => Pin::new(file).start_seek(position),
            Content::InMemory(bytes) => Pin::new(bytes).start_seek(position),
        }
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        match &mut self.content {
            Content::OnDisk(file) => Pin::new(file).poll_complete(cx),
            Content::InMemory(bytes) => Pin::new(bytes).poll_complete(cx),
        }
    }
}

#[cfg(feature = "embed")]
mod embedded {
    use std::borrow::Cow;
    use std::collections::{HashMap, HashSet};
    use std::time::Duration;

    use rust_embed::RustEmbed;

    use super::*;

    /// The files in the binary, by their paths with `/` between the parts.
    pub(crate) struct Files {
        files: HashMap<String, (About, Bytes)>,
        /// Folders are not embedded; these are the paths above the files.
        folders: HashSet<String>,
    }

    impl Files {
        pub(super) fn of<E: RustEmbed>() -> Self {
            let mut all = Self { files: HashMap::new(), folders: HashSet::from([String::new()]) };
            for path in E::iter() {
                let Some(file) = E::get(&path) else { continue };
                let about =
                    About { is_dir: false, len: file.data.len() as u64, modified: modified(&file.metadata) };
                let bytes = match file.data {
                    Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                    Cow::Owned(bytes) => bytes.into(),
                };
                let ends = path.match_indices('/').map(|(end, _)| path[..end].to_owned());
                all.folders.extend(ends);
                all.files.insert(path.into_owned(), (about, bytes));
            }
            all
        }

        pub(super) fn open(&self, path: &Path) -> io::Result<OpenFile> {
            let (about, bytes) = self.files.get(&name(path)).ok_or(ErrorKind::NotFound)?;
            Ok(OpenFile { about: *about, content: Content::InMemory(Cursor::new(bytes.clone())) })
        }

        pub(super) fn about(&self, path: &Path) -> io::Result<About> {
            let name = name(path);
            if self.folders.contains(&name) {
                return Ok(About { is_dir: true, len: 0, modified: SystemTime::UNIX_EPOCH });
            }
            Ok(self.files.get(&name).ok_or(ErrorKind::NotFound)?.0)
        }
    }

    /// `./a/b` as it is embedded: `a/b`.
    fn name(path: &Path) -> String {
        let parts = path.components().filter_map(|part| match part {
            Component::Normal(part) => Some(part.to_string_lossy()),
            _ => None,
        });
        parts.collect::<Vec<_>>().join("/")
    }

    /// When the file was changed, with a part of its hash in the place of the nanoseconds: they are in no
    /// `Last-Modified`, but in the `ETag`, which is therefore another one for another content
    /// though a build may give all files one time.
    fn modified(metadata: &rust_embed::Metadata) -> SystemTime {
        const NANOS: u32 = 1_000_000_000;
        let [a, b, c, d, ..] = metadata.sha256_hash();
        let nanos = u32::from_be_bytes([a, b, c, d]) % NANOS;
        SystemTime::UNIX_EPOCH + Duration::new(metadata.last_modified().unwrap_or(0), nanos)
    }

    impl fmt::Debug for Files {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{} files", self.files.len())
        }
    }
}
