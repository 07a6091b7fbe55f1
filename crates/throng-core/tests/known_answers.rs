//! The primitives against published answers.

#![allow(clippy::unwrap_used)] // a vector that cannot be read is a failed test

use throng_core::crypto::{Forged, Hctr2, LayerKey, LinkKey, Portable, PortableLinkKey, Suite};

fn hex(text: &str) -> Vec<u8> {
    let text: String = text.split_whitespace().collect();
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn array<const N: usize>(text: &str) -> [u8; N] {
    hex(text).try_into().unwrap()
}

/// HCTR2 with AES-128 and 16-byte tweaks: vectors of the authors (test_vectors/ours/HCTR2/HCTR2_AES128.json).
/// Key, tweak, plaintext, ciphertext; lengths of one block, a ragged end, and whole blocks.
const HCTR2_AES128: [[&str; 4]; 7] = [
    [
        "7f3f57224358bdfe0a5357089c432281",
        "c0e1d8829fe26fa57249ce172f25d0dd",
        "bd6774056cdc1d6b1bb9aef54aa73cd2",
        "15bc806e94f703dcda46ee5da41a327a",
    ],
    [
        "15ddd0ae3e4be2d8c678f2ee653951e2",
        "a5be0aab8ccb14fb5725ccbdda3e094d",
        "1538c34617a6066976f76d0fba617cf9",
        "3b47978462fef831f0fcf4efec115f50",
    ],
    [
        "1bb314eb8e12c8b5eb543f56c5eba8e1",
        "318cc4fbb58e8e1c71d66de69a916ba6",
        "ca19cbcea68945e4dc7fbd24723028f4d360ef75d6bc0e1bde1c27a4c5ca80",
        "6cda4aff0713541390daedc3657c523338c8c366cb0f75487403e35b1c6b0a",
    ],
    [
        "02a54b93af12c47ba3a73fa6718cfadb",
        "8c91c390926cacb8f452f8464bddc27d",
        "76e2979dde56a4d63f05aa4e9a6a91fcd740c2a1734406d4fad98815da9108",
        "caa0acb5e5ea136e2b5461a3dc1f67c7589140a41c21d12abbf023986858ff",
    ],
    [
        "f70499724245eace95f5197dc5a2f58c",
        "880783c242fcb783d0f80ec75ced10b3",
        "6e59241cbec2125b61d7db69fa7283fb64ce4b47a01e8b3da609acb932b59c",
        "f348f8417260b11ee72549d6a90bb9228743bc4b5dbdc39e3e26af5533e558",
    ],
    [
        "a79c1275616d8bf11a9ca849af080d5d",
        "553707b51cf2829e81dfa8a9e75a34cc",
        "450c42251cd5151a66c143317d38560d34f6e92eb409f0999d770ef21a0ee8",
        "117b7e59cb0e98cb29b5011461a12183e19f2698512209f9055cae90fb6733",
    ],
    [
        "e4006097c65ccf801232e77133d0e84f",
        "e445d068d96ae66e31984eb894e143f7",
        "6e6dcde2c92a1d072ce4dd90184824e3ce8869cb6a2c93413c3f09ef0a4dbabd420e69f6743c59cc9d4fdf62db2a14ea
         d75fc81d8186d895a1dc3440299558a64b3c5a9b1ad8ad16c8372c566bd0d7a41437e4eeca0a8f1961daa5e50ef16b53
         9779ddccef94cf54ee8bb7dce761b31b6c7b39512bd2f82fdc67dad8b95f477d",
        "56554e027abf7b36b8769c34bb7b46490e4efa81c8df1a1ca86512b5cce8d727886454303375d9f84487c127a58cd24f
         6aeeb4d172ea71971ebaa6964aa3dfd3f23b661c4474f72fd90eb6ff3b3d0b88e79e9f67bacc19d73a7b3c8cf3cef843
         190911889d6fbb8f742ecc94301849c37918e985eeb6aa39de24612da4d27412",
    ],
];

#[test]
fn the_layer_is_hctr2() {
    for [key, tweak, plain, cipher] in HCTR2_AES128 {
        let key = Hctr2::new(&array(key));
        let mut body = hex(plain);
        key.encipher(&array(tweak), &mut body);
        assert_eq!(body, hex(cipher));
        key.decipher(&array(tweak), &mut body);
        assert_eq!(body, hex(plain));
    }
}

#[test]
fn one_changed_bit_changes_half_of_a_layers_body() {
    let key = Hctr2::new(&[7; 16]);
    let changed = |flip: Option<usize>, tweak: u8| {
        let mut body = vec![0x33; 1244];
        key.encipher(&[9; 16], &mut body);
        if let Some(bit) = flip {
            body[bit / 8] ^= 1 << (bit % 8);
        }
        key.decipher(&[tweak; 16], &mut body);
        body.iter().map(|byte| (byte ^ 0x33).count_ones()).sum::<u32>()
    };
    assert_eq!(changed(None, 9), 0);
    // 9952 bits: half of them, with a standard deviation of 50.
    for bit in [0, 127, 128, 5000, 9951] {
        assert!(changed(Some(bit), 9).abs_diff(4976) < 350, "bit {bit}");
    }
    assert!(changed(None, 8).abs_diff(4976) < 350, "another tweak");
}

/// RFC 7748, section 5.2.
#[test]
fn x25519_gives_the_rfcs_answers() {
    let dh = |secret, public| Portable::dh(&array(secret), &array(public)).unwrap();
    assert_eq!(
        dh(
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"
        ),
        array("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552")
    );
    assert_eq!(
        dh(
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493"
        ),
        array("95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957")
    );
}

/// RFC 9935, appendix C: the example key pair of ML-KEM-768, from the seed 00 01 … 3f; the digest is SHA-256 of its
/// encapsulation key. (Encapsulation is checked against aws-lc's implementation in `throng-net`.)
#[test]
fn ml_kem_768_gives_the_rfcs_key() {
    let (secret, public) = Portable::kem_generate(&std::array::from_fn(|i| i as u8));
    let digest = Portable::hash(&[&public]);
    assert_eq!(digest, array("0b7934c83125c788995e2ba6bd761e33046b3e40571be53e023309a29f398cc9"));
    let (answer, shared) = Portable::kem_encapsulate(&public, &[5; 32]).unwrap();
    assert_eq!(Portable::kem_decapsulate(&secret, &answer), shared);
    let mut false_answer = answer;
    false_answer[0] ^= 1;
    assert_ne!(Portable::kem_decapsulate(&secret, &false_answer), shared, "implicit rejection");
    assert_eq!(Portable::kem_encapsulate(&[0xff; 1184], &[5; 32]), Err(Forged), "not a key");
}

/// RFC 8032, section 7.1, tests 1 and 2.
#[test]
fn ed25519_gives_the_rfcs_answers() {
    let cases = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ];
    for (secret, public, message, signature) in cases {
        let (secret, public, signature) = (array(secret), array(public), array(signature));
        assert_eq!(Portable::sign_public(&secret), public);
        assert_eq!(Portable::sign(&secret, &hex(message)), signature);
        assert_eq!(Portable::verify(&public, &hex(message), &signature), Ok(()));
        assert_eq!(Portable::verify(&public, b"another", &signature), Err(Forged));
    }
}

/// NIST's GCM test case 4 (AES-128, McGrew and Viega 2005).
#[test]
fn the_links_cipher_is_aes_gcm() {
    let key = PortableLinkKey::new(&array("feffe9928665731c6d6a8f9467308308"));
    let header = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    let nonce = array("cafebabefacedbaddecaf888");
    let plain = hex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
    );
    let mut body = plain.clone();
    let tag = key.seal(&nonce, &header, &mut body);
    assert_eq!(
        body,
        hex(
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
        )
    );
    assert_eq!(tag, array("5bc94fbc3221a5db94fae95ae7121a47"));
    assert_eq!(key.open(&nonce, &header, &mut body, &tag), Ok(()));
    assert_eq!(body, plain);
}
