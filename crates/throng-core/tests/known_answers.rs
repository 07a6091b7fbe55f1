//! The primitives against published answers.

#![allow(clippy::unwrap_used)] // a vector that cannot be read is a failed test

use throng_core::crypto::{Forged, LayerCipher, LinkCipher, Portable, PortableLinkCipher, Suite, Uiv};

type Layer = Uiv<PortableLinkCipher>;

fn hex(text: &str) -> Vec<u8> {
    let text: String = text.split_whitespace().collect();
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn array<const N: usize>(text: &str) -> [u8; N] {
    hex(text).try_into().unwrap()
}

/// UIV of AES-128 and AES-128-GCM: made with Python's `cryptography` (OpenSSL's AES and GCM), following the formulas in
/// `crypto/layer.rs`. Key, tweak, plaintext, ciphertext; lengths of one block, ragged ends, and whole blocks.
const UIV_AES128: [[&str; 4]; 5] = [
    [
        "f9e6608adec8e2c576866eb4ce6abfea",
        "7c1e9b3b7c606c7806a8c44ad1afbc98",
        "381f913c8e8775b815fdcc1a91faffd2",
        "3246b7bafc8cea7b34a3d4b47ea49ac0",
    ],
    [
        "6a1d6752d88a2ecaad894b17c715c06d",
        "2437c04324563304474f82d00876090d",
        "0173e4cd46d8e261ec1e97d8bdbe61d0d3",
        "833b173543eafa439c111da04aaeb0d072",
    ],
    [
        "c71b149153748e438be21e2a63be13dc",
        "8c781385bdbef8a2a2cd9c0916d00bd9",
        "0f9d8e423be0889605501553b38f7d301af1413bf2ca50465122eafc3943d6",
        "13354c64a8757878e416d728d749fc52928982769be43213dadb24c36e10a8",
    ],
    [
        "81ec50ad3e9b024084f477faac77c87e",
        "05cb730562de8383640eb8a69bdc0e85",
        "0253aa4abb67cbb853464fc19d7350803aecfbae5f4cce062d4479e94094eda771d5ce951ea7488b2f8a652d0cdfc5ee",
        "1aa008c0293b186baae0ec3dc412a5bd32ecec074ef97ea1033de51afe88c8e1fcdd5d54e610d7995eb2afae06c918a2",
    ],
    [
        "bacee6bbe3d3aac8cf61f5f0af953f64",
        "0d744027039f9c6849e1f775a3de8c25",
        "38c52c565d7af988911d5f7455e411fc554690ca0aa589971a0a3c1f4154772d39e89df07f47b48ab15c9889b11e87fe
         18f0eb4731120d194cca52169a5ef984b13b092300504b987b0f80e4a21ebe1b40b8673e6784b3c5dce4e48caa770a37
         63ea2b029c2e2c6ad59599ba4c8f8b83a593032da6ce60546666668a458d55c402a2810f226adf11931da14999e4874a",
        "a45a0d41a694b61d2df15d3d7f7fdfe416431a6539613f423b9bcc8f5ba1465c32b8a78f6019a869049357297f89cfb7
         1dc13dc8ab3d7f1bb4cdb6d1f941aee03bbe3e4ae6a694d2aa0f2cc3ed9033464ed0fb20c9efb468c181443dd3cd4476
         95147892eb2ed09aeb249442fc109f9519013bd99bffb587d77340efa38f3f119d8b2fb4ff78db0dae2116432025ae5c",
    ],
];

#[test]
fn the_layer_is_uiv() {
    for [key, tweak, plain, cipher] in UIV_AES128 {
        let key = Layer::new(&array(key));
        let mut body = hex(plain);
        key.encipher(&array(tweak), &mut body);
        assert_eq!(body, hex(cipher));
        key.decipher(&array(tweak), &mut body);
        assert_eq!(body, hex(plain));
    }
}

/// Found in a review: with a stream that did not depend on the tweak, all cells for a last hop had the same one.
#[test]
fn two_cells_for_one_hop_have_nothing_in_common_before_it() {
    let key = Layer::new(&[7; 16]);
    let prepared = |tweak: u8, fill: u8| {
        let mut body = vec![fill; 1244];
        body[..16].fill(0); // what authenticates
        key.decipher(&[tweak; 16], &mut body);
        body
    };
    for (one, other) in [(prepared(1, 5), prepared(2, 5)), (prepared(1, 5), prepared(2, 6))] {
        let differ: u32 = one.iter().zip(&other).map(|(a, b)| (a ^ b ^ 3).count_ones()).sum();
        assert!(differ.abs_diff(4976) < 350, "{differ} of 9952 bits");
        let first: u32 = one[..16].iter().zip(&other).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert!(first.abs_diff(64) < 40, "{first} of 128 bits");
    }
}

/// Bits that differ, of the first block and of the rest (9824 bits).
fn changed(work: impl Fn(&mut [u8], &[u8; 16]), flip: Option<usize>, tweak: u8) -> (u32, u32) {
    let mut bodies = [vec![0x33; 1244], vec![0x33; 1244]];
    if let Some(bit) = flip {
        bodies[1][bit / 8] ^= 1 << (bit % 8);
    }
    work(&mut bodies[0], &[9; 16]);
    work(&mut bodies[1], &[tweak; 16]);
    let bits = |range: std::ops::Range<usize>| {
        range.map(|i| (bodies[0][i] ^ bodies[1][i]).count_ones()).sum::<u32>()
    };
    (bits(0..16), bits(16..1244))
}

#[test]
fn what_was_changed_before_a_mix_is_noise_behind_it() {
    let key = Layer::new(&[7; 16]);
    let mix = |body: &mut [u8], tweak: &[u8; 16]| key.encipher(tweak, body);
    assert_eq!(changed(mix, None, 9), (0, 0));
    // Half of all bits, with standard deviations of 5.7 and 50.
    for (flip, tweak) in
        [(Some(0), 9), (Some(127), 9), (Some(128), 9), (Some(5000), 9), (Some(9951), 9), (None, 8)]
    {
        let (first, rest) = changed(mix, flip, tweak);
        assert!(first.abs_diff(64) < 40 && rest.abs_diff(4912) < 350, "{flip:?}: {first}, {rest}");
    }
}

#[test]
fn what_was_changed_before_its_origin_is_not_recognised_there() {
    let key = Layer::new(&[7; 16]);
    let origin = |body: &mut [u8], tweak: &[u8; 16]| key.decipher(tweak, body);
    for (flip, tweak) in
        [(Some(0), 9), (Some(127), 9), (Some(128), 9), (Some(5000), 9), (Some(9951), 9), (None, 8)]
    {
        let (first, _) = changed(origin, flip, tweak);
        assert!(first.abs_diff(64) < 40, "{flip:?}: {first}");
    }
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
        array("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552").into()
    );
    assert_eq!(
        dh(
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493"
        ),
        array("95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957").into()
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
    let key = PortableLinkCipher::new(&array("feffe9928665731c6d6a8f9467308308"));
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
