//! Random display names.

const FIRST: [&str; 24] = [
    "Amber", "Bold", "Calm", "Dusty", "Eager", "Fuzzy", "Gentle", "Humming", "Idle", "Jolly",
    "Keen", "Lucky", "Mellow", "Nimble", "Odd", "Patient", "Quiet", "Rapid", "Sunny", "Tidy",
    "Upbeat", "Vivid", "Windy", "Zesty",
];
const SECOND: [&str; 24] = [
    "Ampere", "Beaver", "Coil", "Dynamo", "Eel", "Falcon", "Gecko", "Heron", "Ion", "Joule",
    "Kelvin", "Lynx", "Magnet", "Newt", "Otter", "Photon", "Quark", "Rotor", "Spark", "Turbine",
    "Volt", "Watt", "Yak", "Zebra",
];

/// Two words and a number, such as `Idle Otter 482`.
pub(super) fn random() -> String {
    let pick = |words: &[&'static str; 24]| words[usize::from(rand::random::<u8>()) % 24];
    format!("{} {} {}", pick(&FIRST), pick(&SECOND), rand::random::<u16>() % 1000)
}
