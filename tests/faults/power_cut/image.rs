//! Files and directories, each as it is and as the disk has it, and what is left of them when the power goes. Not for how they are mounted:
//! that is `mount`.
//!
//! fsync(2) or fdatasync(2) of a file makes its bytes and its length durable, fsync(2) of a directory its entries, and nothing else makes
//! anything durable: not even a file's own entry. Of the rest a random part survives. Each page of a file is as it was at some moment since the
//! last sync, whatever became of its neighbours; some are torn between sectors. The length, too, is that of some moment, with zeros where pages are
//! missing. Each change of a directory was made or wasn't.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use fastrand::Rng;
use fuser::Errno;

/// The directory that all others are in.
pub const ROOT: u64 = 1;
/// Written as a whole, mostly.
const PAGE: usize = 4096;
/// Written as a whole, always.
const SECTOR: usize = 512;
/// One page in so many is torn.
const TORN_ONE_IN: u32 = 8;

/// A file system.
#[derive(Clone, Debug)]
pub struct Image {
    nodes: BTreeMap<u64, Node>,
    next: u64,
}

/// A file or a directory.
#[derive(Clone, Debug)]
pub struct Node {
    /// When its bytes or entries were last changed.
    pub modified: SystemTime,
    /// What it holds.
    pub body: Body,
}

/// What a file or a directory holds.
#[derive(Clone, Debug)]
pub enum Body {
    /// Bytes.
    File(File),
    /// Entries.
    Directory(Directory),
}

/// The bytes of a file.
#[derive(Clone, Debug, Default)]
pub struct File {
    /// As they are.
    pub now: Vec<u8>,
    synced: Vec<u8>,
    since: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Resize(usize),
}

/// The entries of a directory: what has a name there.
#[derive(Clone, Debug)]
pub struct Directory {
    /// As they are.
    pub now: BTreeMap<OsString, u64>,
    synced: BTreeMap<OsString, u64>,
    since: Vec<(Entry, SystemTime)>,
    synced_at: SystemTime,
}

#[derive(Clone, Debug)]
enum Entry {
    Made(OsString, u64),
    Removed(OsString),
    Renamed(OsString, OsString, u64),
}

impl Image {
    /// Nothing but the root.
    pub fn empty() -> Self {
        let root = Node::directory(BTreeMap::new(), SystemTime::now());
        Self {
            nodes: BTreeMap::from([(ROOT, root)]),
            next: ROOT + 1,
        }
    }

    /// What is left when the power goes now; all of it is durable.
    pub fn cut(&self, rng: &mut Rng) -> Self {
        let mut left = Self {
            nodes: BTreeMap::new(),
            next: self.next,
        };
        let mut ahead = vec![ROOT];
        while let Some(id) = ahead.pop() {
            // A name that was changed twice may be there twice.
            let Some(node) = self
                .nodes
                .get(&id)
                .filter(|_| !left.nodes.contains_key(&id))
            else {
                continue;
            };
            let luck = rng.f64();
            let node = match &node.body {
                Body::File(file) => Node {
                    modified: node.modified,
                    body: Body::File(File::synced(file.cut(rng, luck))),
                },
                Body::Directory(directory) => {
                    let (entries, modified) = directory.cut(rng, luck);
                    ahead.extend(entries.values());
                    Node::directory(entries, modified)
                }
            };
            left.nodes.insert(id, node);
        }
        left
    }

    /// Copies everything below a path to a directory of the machine's own.
    pub fn export(&self, path: &str, to: &Path) -> io::Result<()> {
        match self.find(path) {
            Some(id) => self.export_node(id, to),
            None => Ok(()),
        }
    }

    fn export_node(&self, id: u64, to: &Path) -> io::Result<()> {
        match self.nodes.get(&id).map(|node| &node.body) {
            Some(Body::File(file)) => fs::write(to, &file.now),
            Some(Body::Directory(directory)) => {
                fs::create_dir_all(to)?;
                let mut entries = directory.now.iter();
                entries.try_for_each(|(name, &id)| self.export_node(id, &to.join(name)))
            }
            None => Ok(()),
        }
    }

    /// The node at a path below the root.
    pub fn find(&self, path: &str) -> Option<u64> {
        let names = path.split('/').filter(|name| !name.is_empty());
        names
            .into_iter()
            .try_fold(ROOT, |id, name| self.lookup(id, OsStr::new(name)).ok())
    }

    /// The node of this number.
    pub fn node(&self, id: u64) -> Result<&Node, Errno> {
        self.nodes.get(&id).ok_or(Errno::ENOENT)
    }

    /// The bytes of a file.
    pub fn file(&self, id: u64) -> Result<&File, Errno> {
        match &self.node(id)?.body {
            Body::File(file) => Ok(file),
            Body::Directory(_) => Err(Errno::EISDIR),
        }
    }

    /// The entries of a directory.
    pub fn directory(&self, id: u64) -> Result<&Directory, Errno> {
        match &self.node(id)?.body {
            Body::Directory(directory) => Ok(directory),
            Body::File(_) => Err(Errno::ENOTDIR),
        }
    }

    /// What has this name in a directory.
    pub fn lookup(&self, parent: u64, name: &OsStr) -> Result<u64, Errno> {
        let entries = &self.directory(parent)?.now;
        entries.get(name).copied().ok_or(Errno::ENOENT)
    }

    /// Makes a file or a directory without anything in it.
    pub fn make(&mut self, parent: u64, name: &OsStr, is_directory: bool) -> Result<u64, Errno> {
        if self.lookup(parent, name).is_ok() {
            return Err(Errno::EEXIST);
        }
        let id = self.next;
        self.change_entries(parent, Entry::Made(name.to_owned(), id))?;
        self.next += 1;
        let now = SystemTime::now();
        let node = match is_directory {
            true => Node::directory(BTreeMap::new(), now),
            false => Node {
                modified: now,
                body: Body::File(File::default()),
            },
        };
        self.nodes.insert(id, node);
        Ok(id)
    }

    /// Takes a name away. What had it stays, for those who have it open.
    pub fn remove(&mut self, parent: u64, name: &OsStr) -> Result<(), Errno> {
        let id = self.lookup(parent, name)?;
        if matches!(&self.node(id)?.body, Body::Directory(directory) if !directory.now.is_empty()) {
            return Err(Errno::ENOTEMPTY);
        }
        self.change_entries(parent, Entry::Removed(name.to_owned()))
    }

    /// Gives a file another name within its directory, in place of what had that name.
    pub fn rename(&mut self, parent: u64, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
        let id = self.lookup(parent, from)?;
        self.change_entries(parent, Entry::Renamed(from.to_owned(), to.to_owned(), id))
    }

    /// Writes to a file.
    pub fn write(&mut self, id: u64, at: usize, bytes: &[u8]) -> Result<(), Errno> {
        self.change_bytes(id, Change::Write(at, bytes.to_owned()))
    }

    /// Cuts a file, or makes it longer.
    pub fn resize(&mut self, id: u64, length: usize) -> Result<(), Errno> {
        self.change_bytes(id, Change::Resize(length))
    }

    /// Makes a file or a directory durable.
    pub fn sync(&mut self, id: u64) -> Result<(), Errno> {
        let node = self.nodes.get_mut(&id).ok_or(Errno::ENOENT)?;
        match &mut node.body {
            Body::File(file) => {
                for change in file.since.drain(..) {
                    change.apply(&mut file.synced);
                }
            }
            Body::Directory(directory) => {
                directory.since.clear();
                directory.synced = directory.now.clone();
                directory.synced_at = node.modified;
            }
        }
        Ok(())
    }

    /// Sets the time at which a file or directory was changed.
    pub fn touch(&mut self, id: u64, modified: SystemTime) -> Result<(), Errno> {
        self.nodes.get_mut(&id).ok_or(Errno::ENOENT)?.modified = modified;
        Ok(())
    }

    fn change_entries(&mut self, id: u64, entry: Entry) -> Result<(), Errno> {
        let node = self.nodes.get_mut(&id).ok_or(Errno::ENOENT)?;
        let Body::Directory(directory) = &mut node.body else {
            return Err(Errno::ENOTDIR);
        };
        node.modified = SystemTime::now();
        entry.apply(&mut directory.now);
        directory.since.push((entry, node.modified));
        Ok(())
    }

    fn change_bytes(&mut self, id: u64, change: Change) -> Result<(), Errno> {
        let node = self.nodes.get_mut(&id).ok_or(Errno::ENOENT)?;
        let Body::File(file) = &mut node.body else {
            return Err(Errno::EISDIR);
        };
        node.modified = SystemTime::now();
        change.apply(&mut file.now);
        file.since.push(change);
        Ok(())
    }
}

impl Node {
    fn directory(entries: BTreeMap<OsString, u64>, modified: SystemTime) -> Self {
        let directory = Directory {
            now: entries.clone(),
            synced: entries,
            since: Vec::new(),
            synced_at: modified,
        };
        Self {
            modified,
            body: Body::Directory(directory),
        }
    }
}

impl File {
    fn synced(bytes: Vec<u8>) -> Self {
        Self {
            now: bytes.clone(),
            synced: bytes,
            since: Vec::new(),
        }
    }

    fn cut(&self, rng: &mut Rng, luck: f64) -> Vec<u8> {
        let all = self.since.len();
        // With all changes, with none, or with the first so many.
        let moment = |rng: &mut Rng| match rng.f64() < luck {
            true => all,
            false if rng.bool() => 0,
            false => rng.usize(0..=all),
        };
        let mut left = vec![0; self.length_at(moment(rng))];
        for (page, bytes) in left.chunks_mut(PAGE).enumerate() {
            let at_once = moment(rng);
            let is_torn = rng.u32(0..TORN_ONE_IN) == 0;
            for (sector, bytes) in bytes.chunks_mut(SECTOR).enumerate() {
                let moment = if is_torn { moment(rng) } else { at_once };
                self.read_at(moment, page * PAGE + sector * SECTOR, bytes);
            }
        }
        left
    }

    /// Its length after the first so many changes.
    fn length_at(&self, moment: usize) -> usize {
        let length = |length: usize, change: &Change| match change {
            Change::Write(at, bytes) => length.max(at + bytes.len()),
            Change::Resize(length) => *length,
        };
        self.since[..moment].iter().fold(self.synced.len(), length)
    }

    /// Reads what is there after the first so many changes into zeros.
    fn read_at(&self, moment: usize, at: usize, into: &mut [u8]) {
        copy_overlap(0, &self.synced, at, into);
        for change in &self.since[..moment] {
            match change {
                Change::Write(from, bytes) => copy_overlap(*from, bytes, at, into),
                Change::Resize(length) => {
                    let kept = length.saturating_sub(at).min(into.len());
                    into[kept..].fill(0);
                }
            }
        }
    }
}

/// Copies what two stretches, which begin at `from` and `at`, have in common.
fn copy_overlap(from: usize, bytes: &[u8], at: usize, into: &mut [u8]) {
    let (begin, end) = (from.max(at), (from + bytes.len()).min(at + into.len()));
    if begin < end {
        into[begin - at..end - at].copy_from_slice(&bytes[begin - from..end - from]);
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Write(at, new) => {
                let end = at + new.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*at..end].copy_from_slice(new);
            }
            Change::Resize(length) => bytes.resize(*length, 0),
        }
    }
}

impl Directory {
    fn cut(&self, rng: &mut Rng, luck: f64) -> (BTreeMap<OsString, u64>, SystemTime) {
        let (mut entries, mut modified) = (self.synced.clone(), self.synced_at);
        for (entry, at) in &self.since {
            if rng.f64() < luck {
                entry.apply(&mut entries);
                modified = *at;
            }
        }
        (entries, modified)
    }
}

impl Entry {
    fn apply(&self, entries: &mut BTreeMap<OsString, u64>) {
        match self {
            Entry::Made(name, id) => {
                entries.insert(name.clone(), *id);
            }
            Entry::Removed(name) => {
                entries.remove(name);
            }
            Entry::Renamed(from, to, id) => {
                entries.remove(from);
                entries.insert(to.clone(), *id);
            }
        }
    }
}

#[cfg(test)]
fn made(image: &mut Image, parent: u64, name: &str, is_directory: bool) -> u64 {
    let made = image.make(parent, OsStr::new(name), is_directory);
    made.expect("a name that is free")
}

#[test]
fn what_was_synced_survives_every_cut_and_the_rest_some() {
    let mut image = Image::empty();
    let directory = made(&mut image, ROOT, "d", true);
    let file = made(&mut image, directory, "f", false);
    image.write(file, 0, &[1; 10_000]).expect("a file");
    for id in [file, directory, ROOT] {
        image.sync(id).expect("it is there");
    }
    image.write(file, 5_000, &[2; 10_000]).expect("a file");
    made(&mut image, directory, "g", false);
    let (mut lengths, mut names, mut mixed) = (Vec::new(), Vec::new(), 0);
    for seed in 0..200 {
        let left = image.cut(&mut Rng::with_seed(seed));
        let bytes = &left.file(file).expect("it was synced").now;
        assert!(bytes[..5_000].iter().all(|&byte| byte == 1));
        assert!(bytes[5_000..].iter().all(|&byte| byte <= 2));
        mixed += u32::from(bytes[5_000..].contains(&2) && bytes[5_000..].contains(&1));
        lengths.push(bytes.len());
        names.push(left.find("d/g").is_some());
        assert_eq!(left.find("d/f"), Some(file));
    }
    lengths.sort_unstable();
    lengths.dedup();
    assert_eq!(lengths, [10_000, 15_000]);
    assert!(names.contains(&true) && names.contains(&false));
    assert!(mixed > 20, "{mixed}");
}

#[test]
fn synced_bytes_without_a_synced_entry_may_be_lost() {
    let mut image = Image::empty();
    let file = made(&mut image, ROOT, "f", false);
    image.write(file, 0, b"bytes").expect("a file");
    image.sync(file).expect("it is there");
    let found = |seed| image.cut(&mut Rng::with_seed(seed)).find("f");
    assert!((0..50).any(|seed| found(seed).is_none()));
    assert!((0..50).any(|seed| found(seed) == Some(file)));
}

#[test]
fn a_file_that_was_renamed_has_one_of_its_names() {
    let mut image = Image::empty();
    let file = made(&mut image, ROOT, "old", false);
    image.sync(ROOT).expect("it is there");
    let (old, new) = (OsStr::new("old"), OsStr::new("new"));
    image.rename(ROOT, old, new).expect("it is there");
    for seed in 0..50 {
        let left = image.cut(&mut Rng::with_seed(seed));
        let names = [left.find("old"), left.find("new")];
        assert!([[Some(file), None], [None, Some(file)]].contains(&names));
    }
}
