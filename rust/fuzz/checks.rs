//! What must hold for any input: the fuzz targets call these, and so does the core crate's test over `tests/corpus`.
//! The Python side reads the same inputs the same way (`tests/fuzz/checks.py`).
#![allow(dead_code, reason = "each fuzz target uses one of them")]

use mina_webrtc_core::bin_prot::{Reader, Writer};
use mina_webrtc_core::chain_id::ChainId;
use mina_webrtc_core::frames::FrameDecoder;
use mina_webrtc_core::identity::{PeerId, PublicKey, SecretKey, Signature};
use mina_webrtc_core::{Result, base58 as b58};

/// Input: a count, as many reads to make (one byte each), and the bytes to read.
pub fn bin_prot(data: &[u8]) {
    let Some((count, rest)) = data.split_first() else { return };
    let (steps, data) = rest.split_at(rest.len().min(usize::from(*count)));
    let mut reader = Reader::new(data);
    for step in steps {
        let before = reader.remaining();
        if read(&mut reader, *step).is_err() {
            return;
        }
        assert!(reader.remaining() <= before);
    }
}

fn read(reader: &mut Reader<'_>, step: u8) -> Result<()> {
    match step % 10 {
        0 => {
            let value = reader.nat0()?;
            let written = written(|writer| writer.nat0(value));
            assert_eq!(Reader::new(&written).nat0(), Ok(value));
        }
        1 => {
            let value = reader.integer(i64::MIN, i64::MAX)?;
            let written = written(|writer| writer.integer(value));
            assert_eq!(Reader::new(&written).integer(value, value), Ok(value));
        }
        2 => drop(reader.boolean()?),
        3 => drop(reader.option()?),
        4 => assert!(reader.variant(3)? < 3),
        5 => drop(reader.string()?),
        6 => {
            let list = reader.byte_list()?;
            let written = written(|writer| writer.byte_list(&list));
            assert_eq!(Reader::new(&written).byte_list(), Ok(list));
        }
        7 => assert_eq!(reader.raw(5)?.len(), 5),
        8 => drop(reader.rest()),
        _ => reader.finish()?,
    }
    Ok(())
}

fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    write(&mut writer);
    writer.bytes().to_vec()
}

/// Input: the limit (u16, little endian), the size of the chunks (a byte, 0 for one chunk), and the stream.
pub fn frames(data: &[u8]) {
    let Some(([low, high, size], stream)) = data.split_first_chunk() else { return };
    let limit = u32::from(u16::from_le_bytes([*low, *high]));
    let size = if *size == 0 { stream.len().max(1) } else { usize::from(*size) };
    let mut decoder = FrameDecoder::new(limit);
    let mut whole = FrameDecoder::new(limit);
    let mut messages = Vec::new();
    let failed = stream.chunks(size).any(|chunk| match decoder.receive(chunk) {
        Ok(found) => {
            messages.extend(found.into_iter().map(std::borrow::Cow::into_owned));
            false
        }
        Err(_) => true,
    });
    assert!(messages.iter().all(|message| (1..=limit as usize).contains(&message.len())));
    match whole.receive(stream) {
        Ok(found) => {
            assert!(!failed);
            assert!(found.iter().eq(&messages));
            assert_eq!(whole.buffered(), decoder.buffered());
        }
        Err(_) => assert!(failed),
    }
    assert!(decoder.buffered() <= stream.len());
    if failed {
        assert_eq!(decoder.buffered(), 0);
        assert!(decoder.receive(&[0, 0, 0, 1, 9]).is_err());
    }
}

/// Input: a version byte, and bytes that are written as base58, and read as such if they are text.
pub fn base58(data: &[u8]) {
    let Some((version, body)) = data.split_first() else { return };
    let text = b58::encode(body);
    assert_eq!(b58::decode(&text, text.len()).as_deref(), Ok(body));
    let checked = b58::check_encode(*version, body);
    assert_eq!(b58::check_decode(&checked, *version, body.len()).as_deref().map(Vec::as_slice), Ok(body));
    let Ok(text) = core::str::from_utf8(body) else { return };
    if let Ok(read) = b58::decode(text, 16 * 1024) {
        assert_eq!(b58::encode(&read), text);
    }
    drop(b58::check_decode(text, *version, 32));
}

/// Input: a text, or the bytes of a key.
pub fn identity(data: &[u8]) {
    if let Ok(key) = PublicKey::from_bytes(data) {
        assert_eq!(PublicKey::parse(&key.to_string()).map(|key| *key.as_bytes()), Ok(*key.as_bytes()));
        assert_eq!(key.peer_id().to_libp2p().and_then(|text| PeerId::from_libp2p(&text)), Ok(key.peer_id()));
        let _ = key.to_x25519();
    }
    let Ok(text) = core::str::from_utf8(data) else { return };
    if let Ok(key) = SecretKey::parse(text) {
        assert_eq!(key.expose_base58check().as_str(), text);
    }
    if let Ok(key) = PublicKey::parse(text) {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(peer) = PeerId::parse(text) {
        assert_eq!(peer.to_string(), text);
    }
    if let Ok(peer) = PeerId::from_libp2p(text) {
        assert_eq!(peer.to_libp2p().as_deref(), Ok(text));
    }
    if let Ok(signature) = Signature::parse(text) {
        assert!(signature.to_string().eq_ignore_ascii_case(text));
    }
    if let Ok(chain) = ChainId::parse(text) {
        assert!(chain.to_string().eq_ignore_ascii_case(text));
    }
    if let Ok(key) = SecretKey::from_pem(text) {
        let again = key.expose_pem().and_then(|pem| SecretKey::from_pem(&pem));
        assert!(again.is_ok_and(|again| again == key));
    }
}
