//! What becomes of a call: its answer, or what goes wrong with it.

use std::io::{self, BufReader, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::{ServerConnection, StreamOwned};

use super::http::{Head, Response};
use super::{Inner, TOKEN, USER, api, tls};

/// What goes wrong with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It is answered so much later.
    Late(Duration),
    /// A page comes instead of data.
    Page,
    /// Something comes that is no JSON.
    Garbage,
    /// It has this status, and no words.
    Status(u16),
    /// The function says no, with these words.
    Refuse(String),
    /// The connection ends when half of the request is read.
    CutHalfway,
    /// It is done, and the connection ends before the answer.
    CutAfter,
}

impl Inner {
    pub(super) fn serve_api(&self, stream: TcpStream) -> io::Result<()> {
        let tls =
            ServerConnection::new(Arc::clone(&tls::tls().config)).map_err(io::Error::other)?;
        let mut stream = BufReader::new(StreamOwned::new(tls, stream));
        while let Some(head) = Head::read(&mut stream)? {
            if !self.one_call(&head, &mut stream)? {
                break;
            }
        }
        Ok(())
    }

    /// Answers a call; false where the connection shall end without.
    fn one_call<S: Read + io::Write>(
        &self,
        head: &Head,
        stream: &mut BufReader<S>,
    ) -> io::Result<bool> {
        self.state()
            .requests
            .push(format!("{} {}", head.method, head.target));
        // An upload is known by its path, before its body has come.
        let early = head.path().trim_start_matches("/execute/").to_owned();
        if self
            .strikes(&early, |trouble| *trouble == Trouble::CutHalfway)
            .is_some()
        {
            let mut half = vec![0; head.length() / 2];
            stream.read_exact(&mut half)?;
            return Ok(false);
        }
        let body = head.body(stream)?;
        let call = api::Call::read(head, &body);
        let trouble = self.strikes(&call.name(), |trouble| *trouble != Trouble::CutHalfway);
        if let Some(Trouble::Late(late)) = trouble {
            thread::sleep(late);
        }
        let response = match &trouble {
            Some(Trouble::Page) => page(200),
            Some(Trouble::Garbage) => Response {
                body: b"{\"status\":1,".to_vec(),
                content_type: "application/json",
                status: 200,
            },
            Some(Trouble::Status(status)) => page(*status),
            Some(Trouble::Refuse(words)) => self.answer(&call, Err(words.clone())),
            _ => self.carry_out(head, &call),
        };
        if trouble == Some(Trouble::CutAfter) {
            return Ok(false);
        }
        let clock = self.state().host.clock;
        response.write(stream.get_mut(), clock)?;
        Ok(true)
    }

    fn carry_out(&self, head: &Head, call: &api::Call) -> Response {
        let expected = format!("cpanel {USER}:{TOKEN}");
        if head.header("authorization") != expected || self.state().host.expired {
            return page(401);
        }
        if let Err(violation) = call.check() {
            self.state().violations.push(violation.clone());
            return self.answer(call, Err(violation));
        }
        if self.state().host.disabled.contains(&call.function) {
            let words = format!(
                "You do not have the feature that “{}” needs.",
                call.function
            );
            return self.answer(call, Err(words));
        }
        let done = self.call(call);
        self.answer(call, done)
    }

    /// The trouble that a call has next, if it is one of these.
    fn strikes(&self, name: &str, is_one: impl Fn(&Trouble) -> bool) -> Option<Trouble> {
        let mut state = self.state();
        let known = state
            .troubles
            .iter_mut()
            .find(|(function, times, trouble)| {
                *times > 0
                    && is_one(trouble)
                    && (function == "*"
                        || name == function
                        || name.starts_with(&format!("{function} ")))
            });
        let (_, times, trouble) = known?;
        *times -= 1;
        Some(trouble.clone())
    }
}

fn page(status: u16) -> Response {
    Response {
        status,
        content_type: "text/html",
        body: b"<!DOCTYPE html><title>Login</title>".to_vec(),
    }
}
