//! The reference implementation's vectors (`tests/vectors`, or the folder that `VECTORS_DIR` names).

use std::path::PathBuf;

use mina_webrtc_core::bin_prot::{Reader, Writer};
use mina_webrtc_core::chain_id::{ChainConstants, ChainId};
use mina_webrtc_core::crypto::{Cipher, sdp_hash};
use mina_webrtc_core::frames::{FrameDecoder, frame_chunks};
use mina_webrtc_core::identity::{PeerId, PublicKey, SecretKey, Signature};
use mina_webrtc_core::{Error, Result};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn vectors(topic: &str, list: &str) -> Vec<Value> {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    let folder = std::env::var_os("VECTORS_DIR").map_or_else(default, PathBuf::from);
    let path = folder.join(topic).with_extension("json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: Value = serde_json::from_str(&text).unwrap();
    let entries = file[list].as_array().unwrap().clone();
    assert!(!entries.is_empty(), "{list} of {topic}");
    entries
}

fn text<'a>(entry: &'a Value, key: &str) -> &'a str {
    entry[key].as_str().unwrap_or_else(|| panic!("{key} of {entry}"))
}

fn bytes(entry: &Value, key: &str) -> Vec<u8> {
    hex::decode(text(entry, key)).unwrap()
}

fn flag(entry: &Value, key: &str) -> bool {
    entry[key].as_bool().unwrap()
}

fn number<T: TryFrom<u64, Error: std::fmt::Debug>>(entry: &Value, key: &str) -> T {
    entry[key].as_u64().unwrap().try_into().unwrap()
}

fn secret(entry: &Value, key: &str) -> SecretKey {
    SecretKey::from_seed(&bytes(entry, key)).unwrap()
}

#[test]
fn vector_keys() {
    for entry in vectors("identity", "keys") {
        let key = secret(&entry, "seed_hex");
        if let Some(index) = entry["deterministic_index"].as_u64() {
            assert_eq!(SecretKey::deterministic(index).unwrap(), key);
        }
        assert_eq!(key.expose_base58check().as_str(), text(&entry, "secret_key_text"));
        assert_eq!(SecretKey::parse(text(&entry, "secret_key_text")).unwrap(), key);
        assert_eq!(key.expose_pem().unwrap().as_str(), text(&entry, "pem"));
        assert_eq!(SecretKey::from_pem(text(&entry, "pem")).unwrap(), key);
        assert_eq!(format!("{key:?}"), text(&entry, "secret_key_debug"));
        let public = key.public_key();
        assert_eq!(public.as_bytes().as_slice(), bytes(&entry, "public_key_hex"));
        assert_eq!(public.to_string(), text(&entry, "public_key_text"));
        assert_eq!(public.to_x25519().as_slice(), bytes(&entry, "x25519_public_hex"));
        let peer = public.peer_id();
        assert_eq!(peer.as_bytes().as_slice(), bytes(&entry, "peer_id_hex"));
        assert_eq!(peer.to_string(), text(&entry, "peer_id_text"));
        assert_eq!(PeerId::parse(text(&entry, "peer_id_text")), Ok(peer));
        assert_eq!(peer.to_libp2p().unwrap(), text(&entry, "libp2p_peer_id_text"));
        assert_eq!(PeerId::from_libp2p(text(&entry, "libp2p_peer_id_text")), Ok(peer));
    }
}

#[test]
fn vector_peer_id_order() {
    for entry in vectors("identity", "peer_id_order") {
        let read = |key: &str| -> Vec<PeerId> {
            let ids = entry[key].as_array().unwrap().iter();
            ids.map(|id| PeerId::parse(id.as_str().unwrap()).unwrap()).collect()
        };
        let mut ids = read("peer_ids");
        ids.sort();
        assert_eq!(ids, read("sorted_ascending"));
    }
}

#[test]
fn vector_points() {
    for entry in vectors("identity", "points") {
        let point = bytes(&entry, "point_hex");
        let peer = PeerId::from_bytes(&point).unwrap();
        assert_eq!(peer.to_string(), text(&entry, "peer_id_text"));
        assert_eq!(PeerId::parse(text(&entry, "peer_id_text")), Ok(peer));
        let valid = flag(&entry, "is_valid_public_key");
        assert_eq!(PublicKey::parse(text(&entry, "public_key_text")).is_ok(), valid, "{entry}");
        let Ok(key) = PublicKey::from_bytes(&point) else {
            assert!(!valid, "{entry}");
            assert!(peer.to_libp2p().is_err());
            continue;
        };
        assert!(valid, "{entry}");
        assert_eq!(key.as_bytes().as_slice(), bytes(&entry, "public_key_hex_after_round_trip"));
        assert_eq!(key.to_string(), text(&entry, "public_key_text"));
        assert_eq!(peer.to_libp2p().unwrap(), text(&entry, "libp2p_peer_id_text"));
        let cipher = Cipher::new(&SecretKey::deterministic(0).unwrap(), &key);
        assert_eq!(cipher.is_ok(), flag(&entry, "encrypt_to_it_succeeds"), "{entry}");
    }
}

#[test]
fn vector_texts() {
    for entry in vectors("identity", "texts") {
        let input = text(&entry, "text");
        let read: Result<()> = match text(&entry, "kind") {
            "secret_key" => SecretKey::parse(input).map(drop),
            "public_key" => PublicKey::parse(input).map(drop),
            "peer_id" => PeerId::parse(input).map(drop),
            kind => panic!("kind {kind}"),
        };
        assert_eq!(read.is_ok(), flag(&entry, "valid"), "{entry}");
    }
    for entry in vectors("identity", "libp2p_peer_ids") {
        let read = PeerId::from_libp2p(text(&entry, "libp2p_peer_id_text"));
        assert_eq!(read.ok().map(|id| id.to_string()).as_deref(), entry["peer_id_text"].as_str(), "{entry}");
    }
}

#[test]
fn vector_signatures() {
    for entry in vectors("identity", "signatures") {
        let message = bytes(&entry, "message_hex");
        let signature = secret(&entry, "seed_hex").sign(&message);
        assert_eq!(signature.to_string(), text(&entry, "signature_text"));
        let key = PublicKey::parse(text(&entry, "public_key_text")).unwrap();
        assert_eq!(key.verify(&message, &signature), Ok(()));
        assert_eq!(key.verify(&[&message[..], b"!"].concat(), &signature), Err(Error::Signature));
    }
    for entry in vectors("identity", "signature_texts") {
        let read = Signature::parse(text(&entry, "text"));
        assert_eq!(read.ok().map(|s| s.to_string()).as_deref(), entry["canonical_text"].as_str(), "{entry}");
    }
}

#[test]
fn vector_chain_ids() {
    for entry in vectors("identity", "chain_ids") {
        let chain = ChainId::parse(text(&entry, "chain_id_text")).unwrap();
        assert_eq!(chain.preshared_key().as_slice(), bytes(&entry, "preshared_key_hex"));
        match entry["name"].as_str() {
            Some("devnet") => assert_eq!(chain, ChainId::DEVNET),
            Some("mainnet") => assert_eq!(chain, ChainId::MAINNET),
            _ => {}
        }
    }
    for entry in vectors("identity", "chain_id_texts") {
        let input = text(&entry, "text");
        let read = ChainId::parse(input).ok().map(|chain| chain.to_string());
        // The reference ignores what follows the 64 digits; here that is an error (§1).
        let expected = entry["canonical_text"].as_str().filter(|_| input.len() == 64);
        assert_eq!(read.as_deref(), expected, "{entry}");
    }
}

#[test]
fn vector_chain_id_compute() {
    for entry in vectors("identity", "chain_id_compute") {
        let digests = entry["constraint_system_digests_hex"].as_array().unwrap().iter();
        let digests: Vec<Vec<u8>> = digests.map(|d| hex::decode(d.as_str().unwrap()).unwrap()).collect();
        let chain = ChainId::compute(&ChainConstants {
            constraint_system_digests: &digests,
            genesis_state_hash: text(&entry, "genesis_state_hash_text"),
            genesis_timestamp_ms: number(&entry, "genesis_timestamp_ms"),
            k: number(&entry, "k"),
            slots_per_epoch: number(&entry, "slots_per_epoch"),
            slots_per_sub_window: number(&entry, "slots_per_sub_window"),
            delta: number(&entry, "delta"),
            protocol_transaction_version: number(&entry, "protocol_transaction_version"),
            protocol_network_version: number(&entry, "protocol_network_version"),
            tx_pool_max_size: number(&entry, "tx_pool_max_size"),
        });
        assert_eq!(chain.unwrap().to_string(), text(&entry, "chain_id_text"));
    }
}

#[test]
fn vector_encryption() {
    for entry in vectors("encryption", "shared_keys") {
        let peer = PublicKey::from_bytes(&bytes(&entry, "peer_public_key_hex")).unwrap();
        let shared = secret(&entry, "own_seed_hex").diffie_hellman(&peer).unwrap();
        assert_eq!(shared.as_slice(), bytes(&entry, "shared_key_hex"));
    }
    for entry in vectors("encryption", "decrypts_to") {
        let peer = PublicKey::parse(text(&entry, "sender_public_key_text")).unwrap();
        let cipher = Cipher::new(&secret(&entry, "receiver_seed_hex"), &peer).unwrap();
        assert_eq!(cipher.open(&bytes(&entry, "ciphertext_hex")), Ok(bytes(&entry, "plaintext_hex")));
    }
    for entry in vectors("encryption", "must_not_decrypt") {
        let peer = PublicKey::parse(text(&entry, "sender_public_key_text")).unwrap();
        let cipher = Cipher::new(&secret(&entry, "receiver_seed_hex"), &peer).unwrap();
        assert_eq!(cipher.open(&bytes(&entry, "ciphertext_hex")), Err(Error::Decryption), "{entry}");
    }
    for entry in vectors("encryption", "non_contributory_peers") {
        let peer = PublicKey::from_bytes(&bytes(&entry, "peer_public_key_hex")).unwrap();
        let cipher = Cipher::new(&secret(&entry, "own_seed_hex"), &peer);
        assert_eq!(cipher.err(), Some(Error::NonContributory), "{entry}");
    }
}

#[test]
fn vector_connection_auth() {
    for entry in vectors("connection_auth", "valid") {
        let hashes = ["offer_sdp", "answer_sdp"].map(|key| sdp_hash(text(&entry, key)));
        assert_eq!(hashes.concat(), bytes(&entry, "connection_auth_hex"));
        let offerer = secret(&entry, "offerer_seed_hex");
        let answerer = secret(&entry, "answerer_seed_hex");
        let cipher = Cipher::new(&offerer, answerer.public_key()).unwrap();
        assert_eq!(cipher.open(&bytes(&entry, "encrypted_by_answerer_hex")), Ok(hashes.concat()));
        let cipher = Cipher::new(&answerer, offerer.public_key()).unwrap();
        assert_eq!(cipher.open(&bytes(&entry, "encrypted_by_offerer_hex")), Ok(hashes.concat()));
        assert_eq!(cipher.seal(&hashes.concat()).unwrap().len(), 92);
    }
}

#[test]
fn vector_bin_prot_reads() {
    for entry in vectors("bin_prot", "primitive_reads") {
        let data = bytes(&entry, "bin_prot_hex");
        let mut reader = Reader::new(&data);
        let read = match text(&entry, "type") {
            "nat0" | "u64" => reader.nat0().map(|value| value.to_string()),
            "i64" => reader.integer(i64::MIN, i64::MAX).map(|value| value.to_string()),
            "i32" => reader.integer(i32::MIN.into(), i32::MAX.into()).map(|value| value.to_string()),
            "u32" => reader.integer(0, u32::MAX.into()).map(|value| value.to_string()),
            // Here the reference takes a negative one for its two's complement.
            "number_u32" => reader
                .integer(i32::MIN.into(), u32::MAX.into())
                .map(|value| (value & 0xffff_ffff).to_string()),
            "u16" => reader.integer(0, u16::MAX.into()).map(|value| value.to_string()),
            "u8" => reader.integer(0, u8::MAX.into()).map(|value| value.to_string()),
            "bool" => reader.boolean().map(|value| value.to_string()),
            "list_u8" => reader.byte_list().map(hex::encode),
            "bytes_string" => reader.string().map(hex::encode),
            // Types of their own, made of the ones above.
            "number_u64" | "unit" | "option_u8" => continue,
            other => panic!("type {other}"),
        };
        assert_eq!(read.is_ok(), flag(&entry, "ok"), "{entry}");
        let Ok(value) = read else { continue };
        let expected = &entry["value"];
        assert_eq!(value, expected.as_str().map_or_else(|| expected.to_string(), str::to_owned), "{entry}");
        assert_eq!(reader.remaining() as u64, entry["bytes_left"].as_u64().unwrap(), "{entry}");
    }
}

#[test]
fn vector_bin_prot_writes() {
    for entry in vectors("bin_prot", "primitives") {
        let mut writer = Writer::new();
        let value = &entry["value"];
        let integer = || value.as_str().unwrap().parse().unwrap();
        match text(&entry, "type") {
            "nat0" | "u64" => writer.nat0(value.as_str().unwrap().parse().unwrap()),
            "i64" | "i32" | "u32" | "u16" | "u8" => writer.integer(integer()),
            "bool" => writer.boolean(value.as_bool().unwrap()),
            "unit" => writer.variant(0),
            "list_u8" => writer.byte_list(&bytes(&entry, "value")),
            "bytes_string" => writer.string(&bytes(&entry, "value")),
            "char_string" => writer.string(value.as_str().unwrap().as_bytes()),
            "option_u8" => {
                writer.option(!value.is_null());
                if let Some(value) = value.as_i64() {
                    writer.integer(value);
                }
            }
            "number_u32" | "number_u64" | "list_u64" => continue,
            other => panic!("type {other}"),
        }
        assert_eq!(writer.bytes(), bytes(&entry, "bin_prot_hex"), "{entry}");
    }
}

#[test]
fn vector_framing() {
    for entry in vectors("bin_prot", "framing") {
        let length: usize = number(&entry, "payload_length");
        let payload: Vec<u8> = (0..length).map(|i| u8::try_from(i * 31 % 251).unwrap()).collect();
        assert_eq!(hex::encode(Sha256::digest(&payload)), text(&entry, "payload_sha256"));
        if length == 0 {
            assert!(frame_chunks(&payload).is_err(), "an empty payload is never sent");
            continue;
        }
        let chunks = frame_chunks(&payload).unwrap();
        assert_eq!(hex::encode(Sha256::digest(chunks.concat())), text(&entry, "framed_sha256"));
        let lengths: Vec<u64> = chunks.iter().map(|chunk| chunk.len() as u64).collect();
        assert_eq!(Value::from(lengths), entry["chunk_lengths"]);
    }
}

#[test]
fn vector_receiving() {
    let channels = vectors("bin_prot", "channels");
    for entry in vectors("bin_prot", "receiving") {
        let channel = channels.iter().find(|c| c["channel_id"] == entry["channel_id"]).unwrap();
        let limit = number(channel, "max_message_size");
        let chunks = entry["chunks_hex"].as_array().unwrap().iter();
        let stream: Vec<u8> =
            chunks.flat_map(|chunk| hex::decode(chunk.as_str().unwrap()).unwrap()).collect();
        let (expected, fails) = walk(&stream, limit);
        let mut decoder = FrameDecoder::new(limit);
        let (mut read, mut failed) = (Vec::new(), false);
        for byte in stream {
            match decoder.receive(&[byte]) {
                Ok(messages) => read.extend(messages.into_iter().map(std::borrow::Cow::into_owned)),
                Err(_) => failed = true,
            }
        }
        assert_eq!((read, failed), (expected, fails), "{entry}");
        // Where the reference reads every frame without an error, both read the same.
        let events = entry["reference_events_per_chunk"].as_array().unwrap().iter();
        let events: Vec<&Value> = events.flat_map(|events| events.as_array().unwrap()).collect();
        if events.iter().all(|event| event["error"].is_null() && event["endless_loop"].is_null()) {
            assert!(!failed, "{entry}");
        }
    }
}

/// The payloads of a whole stream and whether a forbidden length ends it, by the plain reading of §7.
fn walk(mut stream: &[u8], limit: u32) -> (Vec<Vec<u8>>, bool) {
    let mut payloads = Vec::new();
    while let Some((prefix, rest)) = stream.split_first_chunk() {
        let length = u32::from_be_bytes(*prefix);
        if length == 0 || length > limit {
            return (payloads, true);
        }
        let Some((payload, rest)) = rest.split_at_checked(length as usize) else { break };
        payloads.push(payload.to_vec());
        stream = rest;
    }
    (payloads, false)
}
