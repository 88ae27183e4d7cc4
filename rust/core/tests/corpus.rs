//! Every input that the fuzzers found worth keeping (`tests/corpus`), through the same checks as theirs, on a stable
//! compiler, with what is allocated counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::PathBuf;

use mina_webrtc_core::base58::decode;
use mina_webrtc_core::bin_prot::Reader;
use mina_webrtc_core::frames::FrameDecoder;
use mina_webrtc_core::identity::{PeerId, PublicKey, SecretKey};

#[path = "../../fuzz/checks.rs"]
mod checks;

/// What an input of no size at all may take.
const CONSTANT: usize = 1024;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// Counts what the current thread holds.
struct Counting;

fn count(more: usize, less: usize) {
    let now = NOW.get().wrapping_add_unsigned(more).wrapping_sub_unsigned(less);
    NOW.set(now);
    PEAK.set(PEAK.get().max(now));
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that `work` holds at a time.
fn peak<T>(work: impl FnOnce() -> T) -> usize {
    NOW.set(0);
    PEAK.set(0);
    drop(work());
    PEAK.get().unsigned_abs()
}

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus").join(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let found: Vec<_> = files
        .map(|file| {
            let path = file.unwrap().path();
            let data = std::fs::read(&path).unwrap();
            (path, data)
        })
        .collect();
    assert!(!found.is_empty(), "no inputs in {}", folder.display());
    found
}

fn check(target: &str, check: fn(&[u8]), reads: &[fn(&[u8])]) {
    for (path, data) in corpus(target) {
        check(&data);
        for read in reads {
            let held = peak(|| read(&data));
            assert!(
                held <= 2 * data.len() + CONSTANT,
                "{held} bytes for {} of {}",
                data.len(),
                path.display()
            );
        }
    }
}

fn text(data: &[u8]) -> &str {
    core::str::from_utf8(data).unwrap_or_default()
}

#[test]
fn bin_prot() {
    let list: fn(&[u8]) = |data| drop(Reader::new(data).byte_list());
    let string: fn(&[u8]) = |data| drop(Reader::new(data).string());
    check("bin_prot", checks::bin_prot, &[list, string]);
}

#[test]
fn frames() {
    let whole: fn(&[u8]) = |data| drop(FrameDecoder::new(u32::MAX).receive(data));
    let bytes: fn(&[u8]) = |data| {
        let mut decoder = FrameDecoder::new(u32::MAX);
        for byte in data {
            drop(decoder.receive(core::slice::from_ref(byte)));
        }
    };
    check("frames", checks::frames, &[whole, bytes]);
}

#[test]
fn base58() {
    check("base58", checks::base58, &[|data| drop(decode(text(data), usize::MAX))]);
}

#[test]
fn identity() {
    let secret: fn(&[u8]) = |data| drop(SecretKey::parse(text(data)));
    let pem: fn(&[u8]) = |data| drop(SecretKey::from_pem(text(data)));
    let public: fn(&[u8]) = |data| drop(PublicKey::parse(text(data)));
    let libp2p: fn(&[u8]) = |data| drop(PeerId::from_libp2p(text(data)));
    check("identity", checks::identity, &[secret, pem, public, libp2p]);
}

#[test]
fn long_inputs_take_no_more_than_twice_their_size() {
    let long = "z".repeat(200_000);
    assert!(peak(|| decode(&long[..20_000], usize::MAX)) <= 2 * 20_000 + CONSTANT);
    let list: Vec<u8> = [0xfd, 0x40, 0x0d, 0x03, 0].into_iter().chain(long.bytes()).collect();
    assert!(peak(|| Reader::new(&list).byte_list()) <= 2 * list.len() + CONSTANT);
    let mut decoder = FrameDecoder::new(u32::MAX);
    let held = peak(|| {
        drop(decoder.receive(&[0, 0xff, 0xff, 0xff]));
        for chunk in long.as_bytes().chunks(100) {
            drop(decoder.receive(chunk));
        }
    });
    assert!(held <= 2 * long.len() + CONSTANT);
}
