//! The core crate without Python around it, on the inputs of `benches/calls.py`.
#![allow(missing_docs, reason = "Criterion's macros make functions without")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mina_webrtc_core::bin_prot::{Reader, Writer};
use mina_webrtc_core::crypto::{Cipher, sdp_hash};
use mina_webrtc_core::frames::{FrameDecoder, chunks, frame_chunks};
use mina_webrtc_core::identity::{PeerId, SecretKey};
use mina_webrtc_core::{Result, base58};

const OFFER: &[u8] = include_bytes!("../../../benches/inputs/sealed_offer.bin");
const SDP: &str = include_str!("../../../benches/inputs/offer.sdp");
const LARGE: usize = 16 * 1024 * 1024;

/// Times `work` and, where `bytes` says how many it works on, its rate.
fn time<T>(criterion: &mut Criterion, name: &str, bytes: Option<usize>, mut work: impl FnMut() -> T) {
    let mut group = criterion.benchmark_group("core");
    if let Some(bytes) = bytes {
        group.throughput(Throughput::Bytes(bytes as u64));
    }
    group.bench_function(name, |bencher| bencher.iter(&mut work));
    group.finish();
}

fn bytes(criterion: &mut Criterion) {
    let text = base58::encode(OFFER);
    let size = Some(OFFER.len());
    time(criterion, "base58 encode, 3 KiB", size, || base58::encode(black_box(OFFER)));
    time(criterion, "base58 decode, 3 KiB", size, || base58::decode(black_box(&text), 16_384));
    time(criterion, "base58check encode, 32 bytes", None, || {
        base58::check_encode(0x16, black_box(&OFFER[64..96]))
    });
    time(criterion, "bin_prot list written, 3 KiB", size, || {
        let mut writer = Writer::new();
        writer.byte_list(black_box(OFFER));
        writer
    });
    let mut lists = sealed_lists().into_iter().cycle();
    time(criterion, "bin_prot list read, 3 KiB", size, || {
        lists.next().map(|list| Reader::new(black_box(list.bytes())).byte_list())
    });
}

/// Different ones: the processor would know by heart where the items of one begin.
fn sealed_lists() -> Vec<Writer> {
    let [one, other] = [1, 2].map(|index| SecretKey::deterministic(index).expect("an index in range"));
    let cipher = Cipher::new(&one, other.public_key()).expect("keys that contribute");
    let list = || {
        let mut writer = Writer::new();
        writer.byte_list(&cipher.seal(OFFER).expect("a short message")[..OFFER.len()]);
        writer
    };
    (0..64).map(|_| list()).collect()
}

fn framing(criterion: &mut Criterion) {
    let body: Vec<u8> = OFFER.iter().copied().cycle().take(LARGE).collect();
    let small: Vec<&[u8]> = (0..1000).map(|n| &OFFER[n..n + 20 + n % 100]).collect();
    let parts = frame_chunks(&body).unwrap_or_default();
    time(criterion, "16 MiB from chunks of 16 KiB", Some(LARGE), || {
        let mut decoder = FrameDecoder::new(u32::MAX);
        parts
            .iter()
            .try_fold(0, |count, part| Ok::<_, mina_webrtc_core::Error>(count + decoder.receive(part)?.len()))
    });
    time(criterion, "1 000 small messages cut", None, || -> Result<usize> {
        small
            .iter()
            .try_fold(0, |size, message| Ok(size + chunks(message)?.map(|chunk| chunk.size()).sum::<usize>()))
    });
}

fn keys(criterion: &mut Criterion) {
    let [one, other] = [1, 2].map(|index| SecretKey::deterministic(index).expect("an index in range"));
    let derived = || Cipher::new(black_box(&one), other.public_key());
    let cipher = derived().expect("keys that contribute");
    let sealed = cipher.seal(&OFFER[..1024]).expect("a short message");
    let (signature, peer) = (one.sign(&OFFER[..64]), one.public_key().peer_id().to_string());
    time(criterion, "shared key derived", None, derived);
    time(criterion, "seal, 1 KiB", Some(1024), || cipher.seal(black_box(&OFFER[..1024])));
    time(criterion, "open, 1 KiB", Some(1024), || cipher.open(black_box(&sealed)));
    time(criterion, "sdp_hash", Some(SDP.len()), || sdp_hash(black_box(SDP)));
    time(criterion, "sign, 64 bytes", None, || one.sign(black_box(&OFFER[..64])));
    time(criterion, "verify, 64 bytes", None, || {
        one.public_key().verify(black_box(&OFFER[..64]), &signature)
    });
    time(criterion, "peer id read", None, || PeerId::parse(black_box(&peer)));
}

criterion_group! {
    name = core;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = bytes, framing, keys
}
criterion_main!(core);
