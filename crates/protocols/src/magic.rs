//! What a body is by its first bytes.

/// First bytes that [`content_type`] looks at.
pub const MAGIC_BYTES: usize = 264;

/// A row: the bytes at an offset, and the content type they tell of.
type Row = (usize, &'static [u8], &'static str);

/// Signatures at fixed places; the first row that fits decides.
const SIGNATURES: &[Row] = &[
    (0, b"\x1f\x8b", "application/x-gzip"),
    (0, b"\x1f\x9d", "application/x-compress"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\0", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/x-rar"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"PK\x05\x06", "application/zip"),
    (0, b"MSCF\0\0\0\0", "application/vnd.ms-cab-compressed"),
    (257, b"ustar", "application/x-tar"),
    (0, b"!<arch>\ndebian", "application/vnd.debian.binary-package"),
    (0, b"!<arch>", "application/x-archive"),
    (0, b"\xed\xab\xee\xdb", "application/x-rpm"),
    (0, b"GIF8", "image/gif"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (0, b"8BPS", "image/vnd.adobe.photoshop"),
    (0, b"\0\0\x01\0", "image/x-icon"),
    (0, b"wOFF", "application/font-woff"),
    (0, b"wOF2", "font/woff2"),
    (0, b"OTTO", "application/vnd.ms-opentype"),
    (0, b"\0\x01\0\0\0", "application/font-sfnt"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"%!PS", "application/postscript"),
    (0, b"{\\rtf", "text/rtf"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (0, b"MZ", "application/x-dosexec"),
    (0, b"\x7fELF", "application/x-executable"),
    (0, b"\xca\xfe\xba\xbe", "application/x-java-applet"),
    (0, b"\xfe\xed\xfa\xce", "application/x-mach-binary"),
    (0, b"\xfe\xed\xfa\xcf", "application/x-mach-binary"),
    (0, b"\xce\xfa\xed\xfe", "application/x-mach-binary"),
    (0, b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
    (0, b"\0asm", "application/wasm"),
    (0, b"dex\n", "application/vnd.android.dex"),
    (0, b"Cr24", "application/x-chrome-extension"),
    (0, b"CWS", "application/x-shockwave-flash"),
    (0, b"FWS", "application/x-shockwave-flash"),
    (0, b"ZWS", "application/x-shockwave-flash"),
    (0, b"SQLite format 3\0", "application/x-sqlite3"),
    (0, b"d8:announce", "application/x-bittorrent"),
    (0, b"d13:announce-list", "application/x-bittorrent"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-asf"),
    (0, b"FLV\x01", "video/x-flv"),
    (0, b"\x1a\x45\xdf\xa3", "video/webm"),
    (0, b"\0\0\x01\xba", "video/mpeg"),
    (0, b"\0\0\x01\xb3", "video/mpeg"),
    (4, b"ftypqt", "video/quicktime"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypM4A", "audio/x-m4a"),
    (4, b"ftyp3gp", "video/3gpp"),
    (4, b"ftyp", "video/mp4"),
    (4, b"moov", "video/quicktime"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"OggS", "application/ogg"),
    (0, b"fLaC", "audio/x-flac"),
    (0, b"MThd", "audio/midi"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"#EXTM3U", "application/vnd.apple.mpegurl"),
    (0, b"-----BEGIN CERTIFICATE", "application/x-x509-ca-cert"),
    (0, b"-----BEGIN PGP ", "text/PGP"),
];

/// Beginnings of marked-up text, in lower case: compared without regard to case.
const MARKUP: &[(&[u8], &str)] = &[
    (b"<!doctype html", "text/html"),
    (b"<html", "text/html"),
    (b"<head", "text/html"),
    (b"<title", "text/html"),
    (b"<body", "text/html"),
    (b"<script", "text/html"),
    (b"<?xml", "text/xml"),
    (b"<svg", "image/svg+xml"),
    (b"<?php", "text/x-php"),
];

/// Interpreters of scripts that begin with `#!`.
const INTERPRETERS: &[(&[u8], &str)] = &[
    (b"python", "text/x-python"),
    (b"perl", "text/x-perl"),
    (b"ruby", "text/x-ruby"),
    (b"php", "text/x-php"),
    (b"node", "application/javascript"),
    (b"sh", "text/x-shellscript"),
];

/// Distance of the sync bytes of an MPEG transport stream.
const TRANSPORT_PACKET: usize = 188;

/// The content type that the first bytes of a body tell of, `None` where they tell nothing (plain text, JSON …).
///
/// Looks at the first [`MAGIC_BYTES`]; more are not needed.
#[must_use]
pub fn content_type(bytes: &[u8]) -> Option<&'static str> {
    let first = *bytes.first()?;
    match first {
        b'<' => return text_after_bom(bytes),
        0xef => return bytes.strip_prefix(b"\xef\xbb\xbf").and_then(text_after_bom),
        b'#' if bytes.starts_with(b"#!") => return script(bytes),
        b'G' if bytes.get(TRANSPORT_PACKET) == Some(&b'G') && !bytes.starts_with(b"GIF8") => return Some("video/mp2t"),
        b'R' if bytes.starts_with(b"RIFF") => {
            return match bytes.get(8..12)? {
                b"WAVE" => Some("audio/x-wav"),
                b"AVI " => Some("video/x-msvideo"),
                b"WEBP" => Some("image/webp"),
                _ => None,
            };
        }
        // A bitmap tells its own length and has two reserved words of zero.
        b'B' if bytes.starts_with(b"BM") => return (bytes.get(6..10) == Some(&[0; 4])).then_some("image/bmp"),
        _ => {}
    }
    let row = SIGNATURES.iter().find(|(offset, signature, _)| {
        (*offset != 0 || signature.first() == Some(&first))
            && bytes.get(*offset..).is_some_and(|rest| rest.starts_with(signature))
    });
    row.map(|&(_, _, name)| name)
}

fn text_after_bom(bytes: &[u8]) -> Option<&'static str> {
    let row = MARKUP
        .iter()
        .find(|(start, _)| bytes.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start)));
    row.map(|&(_, name)| name)
}

/// `#!AMR` is sound, all else names an interpreter in its first line.
fn script(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"#!AMR") {
        return Some("audio/amr");
    }
    let line = bytes.split(|&byte| byte == b'\n').next()?;
    let found = INTERPRETERS.iter().find(|(name, _)| memchr::memmem::find(line, name).is_some());
    Some(found.map_or("text/x-shellscript", |&(_, name)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_types() {
        assert_eq!(content_type(b"<!DOCTYPE html>\n"), Some("text/html"));
        assert_eq!(content_type(b"\xef\xbb\xbf<HTML>"), Some("text/html"));
        assert_eq!(content_type(b"<?xml version=\"1.0\"?>"), Some("text/xml"));
        assert_eq!(content_type(b"\x1f\x8b\x08\0"), Some("application/x-gzip"));
        assert_eq!(content_type(b"PK\x03\x04\x14\0"), Some("application/zip"));
        assert_eq!(content_type(b"GIF89a"), Some("image/gif"));
        assert_eq!(content_type(b"\x89PNG\r\n\x1a\n\0"), Some("image/png"));
        assert_eq!(content_type(b"\xff\xd8\xff\xe0"), Some("image/jpeg"));
        assert_eq!(content_type(b"%PDF-1.7"), Some("application/pdf"));
        assert_eq!(content_type(b"MZ\x90\0"), Some("application/x-dosexec"));
        assert_eq!(content_type(b"RIFF\x10\0\0\0WEBPVP8 "), Some("image/webp"));
        assert_eq!(content_type(b"\0\0\0\x18ftypmp42"), Some("video/mp4"));
        assert_eq!(content_type(b"#!/usr/bin/env python3\n"), Some("text/x-python"));
        assert_eq!(content_type(b"#!/bin/sh\n"), Some("text/x-shellscript"));
        let mut stream = vec![0; 400];
        stream[0] = b'G';
        stream[188] = b'G';
        assert_eq!(content_type(&stream), Some("video/mp2t"));
    }

    #[test]
    fn says_nothing_of_plain_text() {
        for text in [&b""[..], b"<", b"{\"a\":1}", b"hello", b"G", b"RIFF", b"BM", b"------WebKitFormBoundary"] {
            assert_eq!(content_type(text), None, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn no_signature_reaches_beyond_the_bound() {
        assert!(SIGNATURES.iter().all(|(offset, signature, _)| offset + signature.len() <= MAGIC_BYTES));
    }
}
