use proptest::prelude::*;

use super::*;

const PLACE: SealContext<'static> = SealContext {
    table: "env",
    column: "value",
    tenant: "acme",
    row: "7",
};

fn ring(ids: &[(&str, u8)]) -> KeyRing {
    let keys = ids
        .iter()
        .map(|(id, byte)| (KeyId::parse(id).unwrap(), [*byte; 32]));
    KeyRing::new(keys.collect()).unwrap()
}

#[test]
fn opens_in_its_own_place_only() {
    let ring = ring(&[("k1", 1)]);
    let sealed = ring.seal(&PLACE, b"hunter2", [9; 24]).unwrap();
    assert_eq!(ring.open(&PLACE, &sealed).unwrap().as_slice(), b"hunter2");
    let elsewhere = [
        SealContext {
            table: "keys",
            ..PLACE
        },
        SealContext {
            column: "name",
            ..PLACE
        },
        SealContext {
            tenant: "evil",
            ..PLACE
        },
        SealContext { row: "8", ..PLACE },
        // The same characters, divided in another way.
        SealContext {
            tenant: "acme7",
            row: "",
            ..PLACE
        },
        SealContext {
            tenant: "acm",
            row: "e7",
            ..PLACE
        },
    ];
    for place in elsewhere {
        assert_eq!(
            ring.open(&place, &sealed),
            Err(OpenError::Tampered),
            "{place:?}"
        );
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let ring = ring(&[("k1", 1), ("k0", 1), ("k3", 1)]);
    let sealed = ring.seal(&PLACE, b"secret", [9; 24]).unwrap();
    for at in 0..sealed.as_bytes().len() {
        for bit in 0..8 {
            let mut bytes = sealed.as_bytes().to_vec();
            bytes[at] ^= 1 << bit;
            let opened = Sealed::from_bytes(&bytes).and_then(|s| ring.open(&PLACE, &s));
            assert!(opened.is_err(), "byte {at} bit {bit}");
        }
    }
    for length in 0..sealed.as_bytes().len() {
        let cut = Sealed::from_bytes(&sealed.as_bytes()[..length]);
        assert!(cut.and_then(|s| ring.open(&PLACE, &s)).is_err());
    }
}

#[test]
fn old_keys_still_open_after_rotation() {
    let before = ring(&[("old", 1)]);
    let after = ring(&[("new", 2), ("old", 1)]);
    let sealed = before.seal(&PLACE, b"x", [3; 24]).unwrap();
    assert!(!before.needs_rewrap(&sealed));
    assert!(after.needs_rewrap(&sealed));
    assert_eq!(after.open(&PLACE, &sealed).unwrap().as_slice(), b"x");

    let dropped = ring(&[("new", 2)]).open(&PLACE, &sealed);
    assert_eq!(
        dropped,
        Err(OpenError::UnknownKey {
            kid: KeyId::parse("old").unwrap()
        })
    );
    let same_id_other_key = ring(&[("old", 5)]).open(&PLACE, &sealed);
    assert_eq!(same_id_other_key, Err(OpenError::Tampered));
}

#[test]
fn key_text_is_checked() {
    const K: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    let kid = |id: &str| KeyId::parse(id).unwrap();
    assert!(KeyRing::parse(&format!(" a:{K}= , b:{K}\n")).is_ok());
    let refused = [
        (" ".to_owned(), KeyError::Empty),
        (format!("a:{K}=,"), KeyError::InvalidEntry { number: 2 }),
        (format!("{K}="), KeyError::InvalidEntry { number: 1 }),
        (format!(":{K}="), KeyError::InvalidId),
        (
            format!("a:{K}=,a:{K}="),
            KeyError::DuplicateId { kid: kid("a") },
        ),
        (
            "a:c2hvcnQ=".to_owned(),
            KeyError::InvalidKey { kid: kid("a") },
        ),
        ("a:!".to_owned(), KeyError::InvalidKey { kid: kid("a") }),
    ];
    for (text, error) in refused {
        assert_eq!(KeyRing::parse(&text).unwrap_err(), error, "{text}");
    }
    assert_eq!(KeyRing::new(Vec::new()).unwrap_err(), KeyError::Empty);
}

#[test]
fn debug_forms_hold_no_secret() {
    let ring = ring(&[("k1", 65), ("k2", 66)]);
    assert_eq!(format!("{ring:?}"), r#"KeyRing(["k1", "k2"])"#);
    let sealed = ring.seal(&PLACE, b"x", [3; 24]).unwrap();
    assert_eq!(format!("{sealed:?}"), "Sealed(k1, 45 bytes)");
}

proptest! {
    #[test]
    fn round_trip(text: Vec<u8>, nonce: [u8; 24], tenant: String, row: String, key: [u8; 32]) {
        let ring = KeyRing::new(vec![(KeyId::parse("k").unwrap(), key)]).unwrap();
        let place = SealContext { tenant: &tenant, row: &row, ..PLACE };
        let sealed = ring.seal(&place, &text, nonce).unwrap();
        let stored = Sealed::from_bytes(sealed.as_bytes()).unwrap();
        prop_assert_eq!(&stored, &sealed);
        prop_assert_eq!(&*ring.open(&place, &stored).unwrap(), &text);
    }

    #[test]
    fn reading_never_panics(bytes: Vec<u8>, text: String) {
        let _ = Sealed::from_bytes(&bytes);
        let _ = KeyRing::parse(&text);
    }
}
