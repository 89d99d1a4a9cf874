//! The file of the index's write-ahead log, for the connection that writes it: a commit of a thousand pages goes there in a few dozen calls to
//! the system instead of two a page, which were more than half of what a commit cost. A VFS of SQLite's (<https://sqlite.org/vfs.html>) that leaves
//! everything else to SQLite's own. Not for connections that only read.
//!
//! What SQLite hands over is held only while its connection has the lock that lets it write, and never past a commit: see
//! [`joined`]. So whoever reads the file, or finds it after this program was killed, sees what he would see otherwise. A read doesn't
//! write what is held, so that errors come from writes, as they would otherwise: SQLite takes back a transaction of which a write has failed, but not
//! always one of which something can't be read.
#![expect(
    unsafe_code,
    reason = "SQLite's interface to files is one of C, and is given files as memory"
)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::slice;
use std::sync::LazyLock;

use rusqlite::ffi::{
    SQLITE_CANTOPEN, SQLITE_IOERR, SQLITE_IOERR_READ, SQLITE_IOERR_WRITE, SQLITE_OK,
    SQLITE_OPEN_MAIN_DB, SQLITE_OPEN_WAL, SQLITE_SHM_EXCLUSIVE, SQLITE_SHM_LOCK, SQLITE_SHM_UNLOCK,
    sqlite3_database_file_object, sqlite3_file, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs,
    sqlite3_vfs_find, sqlite3_vfs_register,
};

mod joined;

use joined::{Found, Joined};

const NAME: &CStr = c"framelog";

/// Which of a database's locks lets its owner write to the log (`WAL_WRITE_LOCK`; "WAL-mode File Format", section 2.3.1).
const WRITE_LOCK: c_int = 0;

/// Whether SQLite knows this VFS.
static IS_KNOWN: LazyLock<bool> = LazyLock::new(register);

/// The name by which a connection asks for this VFS; none if it could not be made known to SQLite.
pub(crate) fn vfs() -> Option<&'static str> {
    NAME.to_str().ok().filter(|_| *IS_KNOWN)
}

fn register() -> bool {
    // SAFETY: NULL asks for the default VFS, which SQLite makes first.
    let system = unsafe { sqlite3_vfs_find(ptr::null()) };
    if system.is_null() {
        return false;
    }
    // SAFETY: SQLite's own VFS is static. It is written to when another is registered, which in this program happens here only.
    let own = unsafe { system.read() };
    let Ok(behind) = c_int::try_from(INNER) else {
        return false;
    };
    let ours = sqlite3_vfs {
        szOsFile: own.szOsFile + behind,
        pNext: ptr::null_mut(),
        zName: NAME.as_ptr(),
        // Of all functions of SQLite's own VFS only that which opens files looks at the VFS that it is given, and it is given its own.
        pAppData: system.cast(),
        xOpen: Some(open),
        ..own
    };
    // SAFETY: leaked, so it stays where it is, as SQLite asks of a VFS.
    let code = unsafe { sqlite3_vfs_register(Box::into_raw(Box::new(ours)), 0) };
    code == SQLITE_OK
}

/// A database's file. Behind it, in the same memory, lies the file of SQLite's own VFS.
#[repr(C)]
struct Database {
    file: sqlite3_file,
    /// Its log, while that is open.
    log: *mut Log,
}

/// A log. Behind it, in the same memory, lies the file of SQLite's own VFS.
#[repr(C)]
struct Log {
    file: sqlite3_file,
    database: *mut Database,
    joined: Joined,
}

/// Where the file of SQLite's own VFS begins, bytes. SQLite gives both kinds of file the same room, aligned to eight bytes (to four where pointers
/// have four).
const INNER: usize = size_of::<Log>().next_multiple_of(8);
const _: () = assert!(size_of::<Database>() <= INNER && align_of::<Log>() <= 8);

/// The file of SQLite's own VFS.
///
/// # Safety
/// `file` has the room that our VFS asks for.
unsafe fn inner(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: INNER is less than that room.
    unsafe { file.cast::<u8>().add(INNER).cast() }
}

unsafe extern "C" fn open(
    vfs: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: `register` has put SQLite's own VFS there.
    let system = unsafe { (*vfs).pAppData.cast::<sqlite3_vfs>() };
    // SAFETY: the same.
    let Some(open) = (unsafe { (*system).xOpen }) else {
        return SQLITE_CANTOPEN;
    };
    let is_database = flags & SQLITE_OPEN_MAIN_DB != 0;
    let mut database = ptr::null_mut::<Database>();
    if flags & SQLITE_OPEN_WAL != 0 {
        // SAFETY: a log's name is one that SQLite made together with the database's, whose file is open by then.
        let found = unsafe { sqlite3_database_file_object(name) };
        // SAFETY: that file is open, or not there.
        if unsafe { found.as_ref() }.is_some_and(|found| ptr::eq(found.pMethods, &DATABASE)) {
            database = found.cast();
        }
    }
    if !is_database && database.is_null() {
        // SAFETY: SQLite's own arguments; there is more room than its own VFS asks for.
        return unsafe { open(system, name, file, flags, out_flags) };
    }
    // SAFETY: SQLite gives room for `szOsFile` bytes, aligned to eight, which is INNER and what its own VFS asks for. A file that could not be
    // opened is closed if it has methods, and ours has none then; one that was opened has methods. The database is open, and outlives its log.
    unsafe {
        (*file).pMethods = ptr::null();
        let inner = inner(file);
        (*inner).pMethods = ptr::null();
        let code = open(system, name, inner, flags, out_flags);
        if code != SQLITE_OK {
            close_inner(inner);
            return code;
        }
        if is_database && (*(*inner).pMethods).iVersion < DATABASE.iVersion {
            close_inner(inner); // on no system that framelog runs on
            return SQLITE_CANTOPEN;
        }
        if is_database {
            let log = ptr::null_mut();
            file.cast::<Database>().write(Database {
                file: sqlite3_file {
                    pMethods: &DATABASE,
                },
                log,
            });
        } else {
            file.cast::<Log>().write(Log {
                file: sqlite3_file { pMethods: &LOG },
                database,
                joined: Joined::default(),
            });
            (*database).log = file.cast();
        }
    }
    SQLITE_OK
}

/// # Safety
/// `inner` is a file of SQLite's own VFS, open, or not with NULL for methods. It is not used any more.
unsafe fn close_inner(inner: *mut sqlite3_file) -> c_int {
    // SAFETY: as said above.
    unsafe {
        match (*inner)
            .pMethods
            .as_ref()
            .and_then(|methods| methods.xClose)
        {
            Some(close) => close(inner),
            None => SQLITE_OK,
        }
    }
}

unsafe extern "C" fn close_database(file: *mut sqlite3_file) -> c_int {
    // SAFETY: `open` has opened what is behind the file. SQLite closes a log before its database.
    unsafe { close_inner(inner(file)) }
}

unsafe extern "C" fn close_log(file: *mut sqlite3_file) -> c_int {
    // SAFETY: `open` has made the log and opened what is behind it, and SQLite closes it once, before its database. What is held
    // then is not committed.
    unsafe {
        let log = file.cast::<Log>();
        (*(*log).database).log = ptr::null_mut();
        ptr::drop_in_place(&raw mut (*log).joined);
        close_inner(inner(file))
    }
}

/// A method that is left to SQLite's own VFS.
macro_rules! pass_on {
    ($name:ident, $method:ident ($($argument:ident: $type:ty),*)) => {
        unsafe extern "C" fn $name(file: *mut sqlite3_file $(, $argument: $type)*) -> c_int {
            // SAFETY: `open` has opened what is behind the file, and the arguments are SQLite's own.
            unsafe {
                let inner = inner(file);
                match (*(*inner).pMethods).$method {
                    Some(method) => method(inner $(, $argument)*),
                    None => SQLITE_IOERR,
                }
            }
        }
    };
}

pass_on!(read, xRead(to: *mut c_void, length: c_int, offset: sqlite3_int64));
pass_on!(write, xWrite(from: *const c_void, length: c_int, offset: sqlite3_int64));
pass_on!(truncate, xTruncate(size: sqlite3_int64));
pass_on!(sync, xSync(flags: c_int));
pass_on!(file_size, xFileSize(size: *mut sqlite3_int64));
pass_on!(lock, xLock(level: c_int));
pass_on!(unlock, xUnlock(level: c_int));
pass_on!(check_reserved_lock, xCheckReservedLock(is: *mut c_int));
pass_on!(file_control, xFileControl(control: c_int, argument: *mut c_void));
pass_on!(sector_size, xSectorSize());
pass_on!(device_characteristics, xDeviceCharacteristics());
pass_on!(shm_map, xShmMap(region: c_int, size: c_int, extend: c_int, to: *mut *mut c_void));
pass_on!(pass_shm_lock, xShmLock(first: c_int, locks: c_int, flags: c_int));
pass_on!(shm_unmap, xShmUnmap(delete: c_int));
pass_on!(fetch, xFetch(offset: sqlite3_int64, length: c_int, to: *mut *mut c_void));
pass_on!(unfetch, xUnfetch(offset: sqlite3_int64, page: *mut c_void));

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    // SAFETY: `open` has opened what is behind the file.
    unsafe {
        let inner = inner(file);
        if let Some(barrier) = (*(*inner).pMethods).xShmBarrier {
            barrier(inner);
        }
    }
}

unsafe extern "C" fn shm_lock(
    file: *mut sqlite3_file,
    first: c_int,
    locks: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: `open` has made the database, and its log is one that `open` made and that is not yet closed. Both are of one connection, which
    // one thread uses at a time, and a lock of the database touches no log.
    let log = unsafe { (*file.cast::<Database>()).log.as_mut() };
    let mut log = log.filter(|_| first == WRITE_LOCK);
    // While others can't have it yet.
    if let Some(log) = &mut log
        && flags == SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE
    {
        log.joined.unlock();
    }
    // SAFETY: SQLite's own arguments.
    let code = unsafe { pass_shm_lock(file, first, locks, flags) };
    if let Some(log) = log
        && flags == SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE
        && code == SQLITE_OK
    {
        log.joined.lock();
    }
    code
}

unsafe extern "C" fn log_write(
    file: *mut sqlite3_file,
    from: *const c_void,
    length: c_int,
    offset: sqlite3_int64,
) -> c_int {
    let (Ok(length), Ok(offset)) = (usize::try_from(length), u64::try_from(offset)) else {
        return SQLITE_IOERR_WRITE;
    };
    // SAFETY: SQLite gives so many bytes; `open` has made the log, and SQLite uses a file from one thread at a time.
    let (bytes, joined) = unsafe {
        let bytes = slice::from_raw_parts(from.cast::<u8>(), length);
        (bytes, &mut (*file.cast::<Log>()).joined)
    };
    // SAFETY: it is that log.
    let put = |offset, bytes: &[u8]| unsafe { put(file, offset, bytes) };
    joined.write(offset, bytes, put).err().unwrap_or(SQLITE_OK)
}

/// Hands bytes of a log to SQLite's own VFS; SQLite's code otherwise.
///
/// # Safety
/// `file` is a log that `open` has opened.
unsafe fn put(file: *mut sqlite3_file, offset: u64, bytes: &[u8]) -> Result<(), c_int> {
    let (Ok(length), Ok(offset)) = (c_int::try_from(bytes.len()), i64::try_from(offset)) else {
        return Err(SQLITE_IOERR_WRITE);
    };
    // SAFETY: as said above; there are so many bytes. What is behind the log is none of what is borrowed for it.
    match unsafe { write(file, bytes.as_ptr().cast(), length, offset) } {
        SQLITE_OK => Ok(()),
        code => Err(code),
    }
}

/// Writes what is held; SQLite's code otherwise.
///
/// # Safety
/// `file` is a log that `open` has opened.
unsafe fn flush(file: *mut sqlite3_file) -> Result<(), c_int> {
    // SAFETY: as said above; SQLite uses a file from one thread at a time.
    let joined = unsafe { &mut (*file.cast::<Log>()).joined };
    // SAFETY: the same.
    joined.flush(|offset, bytes| unsafe { put(file, offset, bytes) })
}

unsafe extern "C" fn log_read(
    file: *mut sqlite3_file,
    to: *mut c_void,
    length: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: `open` has made the log, and SQLite uses a file from one thread at a time.
    let joined = unsafe { &(*file.cast::<Log>()).joined };
    let found = match (usize::try_from(length), u64::try_from(offset)) {
        (Ok(length), Ok(offset)) => joined.find(offset, length),
        _ => Found::InFile, // where it is refused
    };
    match found {
        Found::InFile => {}
        Found::Held(bytes) => {
            // SAFETY: SQLite has room for `length` bytes, which is what was found, and it is not in our buffer.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to.cast(), bytes.len()) };
            return SQLITE_OK;
        }
        // Not asked for: SQLite reads a page, or a frame that has been committed.
        Found::InBoth => {
            // SAFETY: it is that log, of which nothing is borrowed any more.
            if unsafe { flush(file) }.is_err() {
                return SQLITE_IOERR_READ;
            }
        }
    }
    // SAFETY: SQLite's own arguments.
    unsafe { read(file, to, length, offset) }
}

/// A method of a log before which what is held is written. Nearly always that is nothing.
macro_rules! flush_and_pass_on {
    ($name:ident, $passed_on:ident ($argument:ident: $type:ty)) => {
        unsafe extern "C" fn $name(file: *mut sqlite3_file, $argument: $type) -> c_int {
            // SAFETY: `open` has opened the log; the argument is SQLite's own.
            unsafe {
                match flush(file) {
                    Ok(()) => $passed_on(file, $argument),
                    Err(code) => code,
                }
            }
        }
    };
}

flush_and_pass_on!(log_truncate, truncate(size: sqlite3_int64));
flush_and_pass_on!(log_sync, sync(flags: c_int));
flush_and_pass_on!(log_file_size, file_size(size: *mut sqlite3_int64));

/// What a database's file does: what SQLite's own does, and it tells its log when the lock with which it may be written is taken and let go.
static DATABASE: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 3,
    xClose: Some(close_database),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: Some(fetch),
    xUnfetch: Some(unfetch),
};

/// What a log does. SQLite asks a log for nothing of later versions.
static LOG: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(close_log),
    xRead: Some(log_read),
    xWrite: Some(log_write),
    xTruncate: Some(log_truncate),
    xSync: Some(log_sync),
    xFileSize: Some(log_file_size),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
    ..DATABASE
};

#[cfg(test)]
pub(crate) mod tests;
