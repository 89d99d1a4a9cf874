//! A mounted [`Image`], by way of FUSE, whose power can be cut. Not for what survives that: that is `image`.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs,
    ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::image::{Body, Image};
use crate::support::now_us;

/// All changes come through the one mount, so that the kernel may remember what it was told.
const FOR_EVER: Duration = Duration::from_secs(1 << 30);
/// What the file system says its size and free room are.
const BLOCKS: u64 = 1 << 28;
const BLOCK_BYTES: u32 = 4096;

/// The moment at which the power went.
#[derive(Clone, Debug)]
pub struct Cut {
    /// When, µs since the Unix epoch.
    pub at_us: i64,
    /// What is left.
    pub left: Image,
}

/// A mounted file system. It is unmounted when dropped.
#[derive(Debug)]
pub struct Mount {
    path: PathBuf,
    machine: Arc<Mutex<Machine>>,
    session: Option<BackgroundSession>,
}

/// Disk and power.
#[derive(Debug)]
struct Machine {
    image: Image,
    rng: Rng,
    /// The power goes after so many changes.
    fuse: Option<u32>,
    cut: Option<Cut>,
}

impl Machine {
    fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Image) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match &mut self.fuse {
            Some(0) => self.cut(),
            Some(left) => *left -= 1,
            None => {}
        }
        change(&mut self.image)
    }

    /// The recorder doesn't notice: what it does from now on is forgotten.
    fn cut(&mut self) {
        self.fuse = None;
        let at_us = now_us();
        let left = self.image.cut(&mut self.rng);
        self.cut.get_or_insert(Cut { at_us, left });
    }
}

impl Mount {
    /// Mounts an image at this directory, which is made.
    ///
    /// # Errors
    /// Where that is not permitted.
    pub fn new(path: &Path, image: Image, rng: Rng) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let machine = Arc::new(Mutex::new(Machine {
            image,
            rng,
            fuse: None,
            cut: None,
        }));
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("framelog-power-cut".to_owned())];
        let session = fuser::spawn_mount(Files(Arc::clone(&machine)), path, &config)?;
        Ok(Self {
            path: path.to_owned(),
            machine,
            session: Some(session),
        })
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().expect("nothing panics with it")
    }

    /// Cuts the power after so many more changes to the disk, or after so long.
    pub fn cut_after(&self, changes: u32, limit: Duration) -> Cut {
        self.machine().fuse = Some(changes);
        let begun = Instant::now();
        loop {
            let mut machine = self.machine();
            if begun.elapsed() >= limit {
                machine.cut();
            }
            if let Some(cut) = &machine.cut {
                return cut.clone();
            }
            drop(machine);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Everything as it is now, synced or not.
    pub fn image(&self) -> Image {
        self.machine().image.clone()
    }

    /// Whether there is something at this path.
    pub fn has(&self, path: &str) -> bool {
        self.machine().image.find(path).is_some()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmounted = self.session.take().map(BackgroundSession::umount_and_join);
        if let Some(Err(error)) = unmounted {
            eprintln!("{} can't be unmounted: {error}", self.path.display());
        }
    }
}

/// What the kernel asks for.
struct Files(Arc<Mutex<Machine>>);

impl Files {
    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.lock().expect("nothing panics with it")
    }

    fn attributes(&self, id: u64) -> Result<FileAttr, Errno> {
        attributes(&self.machine().image, id)
    }

    fn make(&self, parent: INodeNo, name: &OsStr, is_directory: bool) -> Result<FileAttr, Errno> {
        let mut machine = self.machine();
        let id = machine.change(|image| image.make(parent.0, name, is_directory))?;
        attributes(&machine.image, id)
    }

    fn change(&self, change: impl FnOnce(&mut Image) -> Result<(), Errno>, reply: ReplyEmpty) {
        match self.machine().change(change) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }
}

fn attributes(image: &Image, id: u64) -> Result<FileAttr, Errno> {
    let node = image.node(id)?;
    let (kind, perm, size) = match &node.body {
        Body::File(file) => (FileType::RegularFile, 0o644, file.now.len() as u64),
        Body::Directory(_) => (FileType::Directory, 0o755, 0),
    };
    Ok(FileAttr {
        ino: INodeNo(id),
        size,
        blocks: size.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: node.modified,
        ctime: node.modified,
        crtime: UNIX_EPOCH,
        kind,
        perm,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK_BYTES,
        flags: 0,
    })
}

fn place(offset: u64) -> Result<usize, Errno> {
    usize::try_from(offset).map_err(|_| Errno::EFBIG)
}

impl Filesystem for Files {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let machine = self.machine();
        let found = machine.image.lookup(parent.0, name);
        match found.and_then(|id| attributes(&machine.image, id)) {
            Ok(found) => reply.entry(&FOR_EVER, &found, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn getattr(&self, _: &Request, id: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(id.0) {
            Ok(found) => reply.attr(&FOR_EVER, &found),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        id: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let changed = self.machine().change(|image| {
            if let Some(size) = size {
                image.resize(id.0, place(size)?)?;
            }
            match mtime {
                Some(TimeOrNow::SpecificTime(time)) => image.touch(id.0, time),
                Some(TimeOrNow::Now) => image.touch(id.0, SystemTime::now()),
                None => Ok(()),
            }
        });
        match changed.and_then(|()| self.attributes(id.0)) {
            Ok(now) => reply.attr(&FOR_EVER, &now),
            Err(error) => reply.error(error),
        }
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match self.make(parent, name, false) {
            Ok(made) => reply.created(
                &FOR_EVER,
                &made,
                Generation(0),
                FileHandle(0),
                FopenFlags::FOPEN_KEEP_CACHE,
            ),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        match self.make(parent, name, true) {
            Ok(made) => reply.entry(&FOR_EVER, &made, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.change(|image| image.remove(parent.0, name), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.change(|image| image.remove(parent.0, name), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        // A recorder does neither.
        if parent != new_parent || !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        self.change(|image| image.rename(parent.0, name, new_name), reply);
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn read(
        &self,
        _: &Request,
        id: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let machine = self.machine();
        match machine
            .image
            .file(id.0)
            .and_then(|file| Ok((file, place(offset)?)))
        {
            Ok((file, offset)) => {
                let rest = file.now.get(offset..).unwrap_or_default();
                reply.data(&rest[..rest.len().min(size as usize)]);
            }
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        id: INodeNo,
        _: FileHandle,
        offset: u64,
        bytes: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self
            .machine()
            .change(|image| image.write(id.0, place(offset)?, bytes));
        match written {
            Ok(()) => reply.written(bytes.len() as u32),
            Err(error) => reply.error(error),
        }
    }

    fn fsync(&self, _: &Request, id: INodeNo, _: FileHandle, _data: bool, reply: ReplyEmpty) {
        self.change(|image| image.sync(id.0), reply);
    }

    fn fsyncdir(&self, _: &Request, id: INodeNo, _: FileHandle, _data: bool, reply: ReplyEmpty) {
        self.change(|image| image.sync(id.0), reply);
    }

    fn readdir(
        &self,
        _: &Request,
        id: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let machine = self.machine();
        let directory = match machine.image.directory(id.0) {
            Ok(directory) => directory,
            Err(error) => return reply.error(error),
        };
        for (next, (name, &entry)) in (1..).zip(&directory.now).skip(offset as usize) {
            let kind = match machine.image.directory(entry) {
                Ok(_) => FileType::Directory,
                Err(_) => FileType::RegularFile,
            };
            if reply.add(INodeNo(entry), next, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(
            BLOCKS,
            BLOCKS,
            BLOCKS,
            BLOCKS,
            BLOCKS,
            BLOCK_BYTES,
            255,
            BLOCK_BYTES,
        );
    }
}
