//! A TCP forwarder that can go deaf: a network between two programs, with its faults.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the forwarder does with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Passes bytes.
    Open,
    /// Takes connections and bytes, and answers nothing.
    Deaf,
    /// Closes what is open and whatever comes.
    Closed,
}

/// A forwarder on loopback.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    mood: Arc<watch::Sender<Mood>>,
    accept: JoinHandle<()>,
}

impl Proxy {
    /// Forwards to `target`.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (mood, _) = watch::channel(Mood::Open);
        let mood = Arc::new(mood);
        let moods = Arc::clone(&mood);
        let accept = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(forward(stream, target, moods.subscribe()));
            }
        });
        Ok(Self {
            address,
            mood,
            accept,
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what it does, for open connections too.
    pub fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

async fn forward(mut near: TcpStream, target: SocketAddr, mut mood: watch::Receiver<Mood>) {
    let wanted = *mood.borrow_and_update();
    if wanted == Mood::Open {
        let Ok(mut far) = TcpStream::connect(target).await else {
            return;
        };
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
            _ = mood.changed() => hold(near, mood).await,
        }
    } else {
        hold(near, mood).await;
    }
}

/// Keeps a connection and says nothing for as long as it is to be deaf.
async fn hold(near: TcpStream, mut mood: watch::Receiver<Mood>) {
    while *mood.borrow_and_update() == Mood::Deaf {
        if mood.changed().await.is_err() {
            break;
        }
    }
    drop(near);
}
