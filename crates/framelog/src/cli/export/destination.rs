//! Where an export goes: under a temporary name beside its place until it is whole. Not for what is in it.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempDir, TempPath};

use super::Sink;
use super::archive::Archive;
use super::film::{Mkv, Mp4File};
use super::folder::Folder;
use super::mjpeg::Mjpeg;
use super::picture_name::PictureNames;

/// What is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Mjpeg,
    Zip,
    Folder,
    Mp4,
    Mkv,
}

/// An extension that nothing can be made for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KindError {
    #[error("{output}: cannot export to .{extension}; use .mp4, .mkv, .mjpeg, .zip or a folder")]
    Unknown { output: String, extension: String },
    #[error(
        "export can't write to standard output; name a .mp4, .mkv, .mjpeg or .zip file or a folder, or use `framelog tail --from`"
    )]
    StandardOutput,
}

impl Kind {
    /// By the extension; a name without one, with a slash at the end, or of a folder that is there means a folder.
    pub(super) fn of(output: &Path) -> Result<Self, KindError> {
        let text = output.to_string_lossy().into_owned();
        if text == "-" {
            return Err(KindError::StandardOutput);
        }
        if text.ends_with('/') || output.is_dir() {
            return Ok(Kind::Folder);
        }
        let Some(extension) = output.extension() else {
            return Ok(Kind::Folder);
        };
        let extension = extension.to_string_lossy().to_lowercase();
        match extension.as_str() {
            "mjpeg" | "mjpg" => Ok(Kind::Mjpeg),
            "zip" => Ok(Kind::Zip),
            "mp4" | "m4v" => Ok(Kind::Mp4),
            "mkv" => Ok(Kind::Mkv),
            _ => Err(KindError::Unknown {
                output: text,
                extension,
            }),
        }
    }
}

/// Why nothing can be made there.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum DestinationError {
    #[error("{}: is there already; choose another name or add --force", output.display())]
    Exists { output: PathBuf },
    #[error("{}: is not empty; choose another name, or add --force to put the pictures beside what is in it", output.display())]
    FolderNotEmpty { output: PathBuf },
    #[error("{}: is there already and is no folder; choose another name", output.display())]
    NoFolderThere { output: PathBuf },
    #[error("{}: is a folder; name a file", output.display())]
    NoFileThere { output: PathBuf },
    #[error("{}: there is no such folder; make it first", parent.display())]
    NoFolder { parent: PathBuf },
    #[error("{}: cannot be made: {error}; check the place and its permissions", output.display())]
    Create { output: PathBuf, error: io::Error },
}

/// The temporary file or folder, removed unless it is kept.
#[derive(Debug)]
pub(super) enum Destination {
    File(NewFile),
    Folder { temporary: TempDir, output: PathBuf },
}

impl Destination {
    /// Makes the temporary file or folder, and what writes to it.
    pub(super) fn create(
        kind: Kind,
        output: &Path,
        force: bool,
        raw: bool,
    ) -> Result<(Self, Box<dyn Sink>), DestinationError> {
        let made = match kind {
            Kind::Folder => {
                check_folder(output, force)?;
                create_folder(output, raw)
            }
            _ => {
                let (place, file) = NewFile::create(output, force)?;
                sink(kind, file, raw).map(|sink| (Destination::File(place), sink))
            }
        };
        made.map_err(|error| DestinationError::Create {
            output: output.to_owned(),
            error,
        })
    }

    /// Whether it goes into a folder in which there are other things.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Destination::Folder { output, .. } if has_something(output))
    }

    /// Gives it its name. Without force, what has taken that name in the meantime stays.
    pub(super) fn keep(self) -> io::Result<()> {
        match self {
            Destination::File(file) => file.keep(),
            Destination::Folder { temporary, output } => keep_folder(temporary, &output),
        }
    }
}

/// Whether something else is where a folder is to be; a slash behind its name changes nothing about that.
fn is_no_folder(output: &Path) -> bool {
    let name = output.components().as_path();
    name.symlink_metadata().is_ok() && !name.is_dir()
}

/// Whether an export may go into this folder: an empty one may be filled.
fn check_folder(output: &Path, force: bool) -> Result<(), DestinationError> {
    if is_no_folder(output) {
        return Err(DestinationError::NoFolderThere {
            output: output.to_owned(),
        });
    }
    if !force && has_something(output) {
        return Err(DestinationError::FolderNotEmpty {
            output: output.to_owned(),
        });
    }
    check_place(output, true)
}

/// Whether it is a folder that isn't empty, or whose contents nobody may see.
fn has_something(output: &Path) -> bool {
    output.is_dir() && !std::fs::read_dir(output).is_ok_and(|mut entries| entries.next().is_none())
}

/// Whether something may be made here.
fn check_place(output: &Path, force: bool) -> Result<(), DestinationError> {
    if !force && output.symlink_metadata().is_ok() {
        return Err(DestinationError::Exists {
            output: output.to_owned(),
        });
    }
    let parent = parent(output);
    match parent.is_dir() {
        true => Ok(()),
        false => Err(DestinationError::NoFolder {
            parent: parent.to_owned(),
        }),
    }
}

/// A file that has its name only when it is kept; else it is removed.
#[derive(Debug)]
pub(in crate::cli) struct NewFile {
    temporary: TempPath,
    output: PathBuf,
    force: bool,
}

impl NewFile {
    /// Makes it under a temporary name, and what writes to it.
    ///
    /// # Errors
    /// If something is there and `force` is not, or it can't be made there.
    pub(in crate::cli) fn create(
        output: &Path,
        force: bool,
    ) -> Result<(Self, File), DestinationError> {
        if output.is_dir() {
            return Err(DestinationError::NoFileThere {
                output: output.to_owned(),
            });
        }
        check_place(output, force)?;
        // The umask applies, as for any new file.
        let made = builder(0o666).tempfile_in(parent(output));
        let (file, temporary) = made
            .map_err(|error| DestinationError::Create {
                output: output.to_owned(),
                error,
            })?
            .into_parts();
        let place = Self {
            temporary,
            output: output.to_owned(),
            force,
        };
        Ok((place, file))
    }

    /// Gives it its name. Without force, what has taken that name in the meantime stays.
    ///
    /// # Errors
    /// What the system says; then nothing is left of it.
    pub(in crate::cli) fn keep(self) -> io::Result<()> {
        match self.force {
            true => Ok(self.temporary.persist(self.output)?),
            false => Ok(self.temporary.persist_noclobber(self.output)?),
        }
    }
}

fn sink(kind: Kind, file: File, raw: bool) -> io::Result<Box<dyn Sink>> {
    Ok(match kind {
        Kind::Zip => Box::new(Archive::new(file, raw)),
        Kind::Mp4 => Box::new(Mp4File::new(file, raw)?),
        Kind::Mkv => Box::new(Mkv::new(file, raw)),
        Kind::Mjpeg | Kind::Folder => Box::new(Mjpeg::new(file)),
    })
}

fn create_folder(output: &Path, raw: bool) -> io::Result<(Destination, Box<dyn Sink>)> {
    let temporary = builder(0o777).tempdir_in(parent(output))?;
    let sink = Box::new(Folder {
        path: temporary.path().to_owned(),
        raw,
        names: PictureNames::default(),
    });
    Ok((
        Destination::Folder {
            temporary,
            output: output.to_owned(),
        },
        sink,
    ))
}

fn builder(mode: u32) -> Builder<'static, 'static> {
    let mut builder = Builder::new();
    builder
        .prefix(".framelog-export-")
        .permissions(Permissions::from_mode(mode));
    builder
}

/// The folder in which a name stands.
fn parent(output: &Path) -> &Path {
    match output.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => output,
    }
}

/// One rename where nothing is there; else the pictures move into the folder that is, in place of those of the same name.
fn keep_folder(temporary: TempDir, output: &Path) -> io::Result<()> {
    if !has_something(output) {
        std::fs::rename(temporary.path(), output)?;
        // Only now: what has not got its name is removed.
        let _ = temporary.keep();
        return Ok(());
    }
    for entry in std::fs::read_dir(temporary.path())? {
        let entry = entry?;
        std::fs::rename(entry.path(), output.join(entry.file_name()))?;
    }
    temporary.close()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_says_what_is_made() {
        let kind = |name: &str| Kind::of(Path::new(name));
        assert_eq!(kind("a.MJPEG"), Ok(Kind::Mjpeg));
        assert_eq!(kind("a.zip"), Ok(Kind::Zip));
        assert_eq!(kind("pictures"), Ok(Kind::Folder));
        assert_eq!(kind("2026.11/"), Ok(Kind::Folder));
        assert_eq!(kind("a.mp4"), Ok(Kind::Mp4));
        assert_eq!(kind("a.Mkv"), Ok(Kind::Mkv));
        assert_eq!(kind("-"), Err(KindError::StandardOutput));
        assert!(matches!(kind("a.avi"), Err(KindError::Unknown { .. })));
    }

    #[test]
    fn an_export_has_its_name_only_when_it_is_kept() {
        let place = tempfile::tempdir().unwrap();
        for name in ["a.mjpeg", "a.zip", "a.mp4", "a.mkv", "a"] {
            let output = place.path().join(name);
            let kind = Kind::of(&output).unwrap();
            let (destination, sink) = Destination::create(kind, &output, false, false).unwrap();
            assert!(!output.exists());
            sink.finish().unwrap();
            destination.keep().unwrap();
            assert!(output.exists());
        }
        let (dropped, _) =
            Destination::create(Kind::Zip, &place.path().join("b.zip"), false, false).unwrap();
        drop(dropped);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 5);
    }

    #[test]
    fn what_is_there_stays_without_force() {
        let place = tempfile::tempdir().unwrap();
        let output = place.path().join("pictures");
        std::fs::create_dir(&output).unwrap();
        let (destination, _) = Destination::create(Kind::Folder, &output, false, false).unwrap();
        assert!(!destination.is_shared());
        std::fs::write(output.join("mine.txt"), "x").unwrap();
        assert!(matches!(
            Destination::create(Kind::Folder, &output, false, false),
            Err(DestinationError::FolderNotEmpty { .. })
        ));
        let (destination, _) = Destination::create(Kind::Folder, &output, true, false).unwrap();
        assert!(destination.is_shared());
        destination.keep().unwrap();
        assert!(output.join("mine.txt").exists());
        let file = place.path().join("a.zip");
        std::fs::write(&file, "mine").unwrap();
        assert!(matches!(
            Destination::create(Kind::Zip, &file, false, false),
            Err(DestinationError::Exists { .. })
        ));
    }

    #[test]
    fn a_folder_takes_no_files_place() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("pictures"), "mine").unwrap();
        for name in ["pictures", "pictures/"] {
            let output = place.path().join(name);
            for force in [false, true] {
                assert!(matches!(
                    Destination::create(Kind::Folder, &output, force, false),
                    Err(DestinationError::NoFolderThere { .. })
                ));
            }
        }
    }

    #[test]
    fn nothing_is_left_of_what_could_not_get_its_name() {
        let place = tempfile::tempdir().unwrap();
        for (name, kind) in [("a", Kind::Folder), ("a.zip", Kind::Zip)] {
            let output = place.path().join(name);
            let (destination, sink) = Destination::create(kind, &output, false, false).unwrap();
            std::fs::write(&output, "mine").unwrap();
            drop(sink);
            assert!(destination.keep().is_err());
            assert_eq!(std::fs::read(&output).unwrap(), b"mine");
        }
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 2);
    }
}
