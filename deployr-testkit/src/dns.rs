//! A private DNS server: TXT records over UDP on the loopback, on a thread of its own.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

type Zone = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

/// A running server. It ends with the process.
#[derive(Debug, Clone)]
pub struct Dns {
    address: SocketAddr,
    zone: Zone,
}

impl Dns {
    /// A server that knows no name.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    #[must_use]
    pub fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let zone = Zone::default();
        let known = Arc::clone(&zone);
        thread::spawn(move || {
            let mut query = [0; 4096];
            while let Ok((length, peer)) = socket.recv_from(&mut query) {
                if let Some(answer) = answer(&query[..length], &known) {
                    let _ = socket.send_to(&answer, peer);
                }
            }
        });
        Self { address, zone }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets all TXT records of a name. Without one, the name is there and has none; a record
    /// of more than 255 bytes is sent in parts.
    ///
    /// # Panics
    ///
    /// When its own thread has panicked.
    pub fn set(&self, name: &str, records: &[&str]) {
        let records = records.iter().map(|&text| text.to_owned()).collect();
        let mut zone = self.zone.lock().expect("nothing panics with it");
        zone.insert(name.to_ascii_lowercase(), records);
    }
}

const TXT: [u8; 2] = [0, 16];

/// None for what is no question. A name that is not known does not exist, and one that begins
/// with `broken.` is more than the server can tell.
fn answer(query: &[u8], zone: &Zone) -> Option<Vec<u8>> {
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let question = query.get(12..at + 4)?;
    let name = labels.join(".");
    let zone = zone.lock().ok()?;
    let records = zone.get(&name);
    let code = match records {
        _ if name.starts_with("broken.") => 2, // SERVFAIL
        Some(_) => 0,
        None => 3, // NXDOMAIN
    };
    let records = records.filter(|_| question.ends_with(&[TXT[0], TXT[1], 0, 1]));
    let records = records.map_or(&[][..], Vec::as_slice);
    let count = u16::try_from(records.len()).ok()?.to_be_bytes();
    let mut answer = query.get(..2)?.to_vec();
    // An answer of whoever is in charge; one question, so many answers.
    answer.extend([0x85, 0x80 | code, 0, 1, count[0], count[1], 0, 0, 0, 0]);
    answer.extend(question);
    for record in records {
        let mut text = Vec::new();
        for part in record.as_bytes().chunks(255) {
            text.push(u8::try_from(part.len()).ok()?);
            text.extend(part);
        }
        answer.extend([0xc0, 12]); // the name that was asked for
        answer.extend(TXT);
        answer.extend([0, 1, 0, 0, 0, 60]);
        answer.extend(u16::try_from(text.len()).ok()?.to_be_bytes());
        answer.extend(text);
    }
    Some(answer)
}
