//! The mailer against a folder, and against a small SMTP server that does what each test tells it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flashsale_core::Timestamp;
use flashsale_core::notice::{Message as Says, NoticeKey};
use flashsale_testkit::suite::notifier::Notifiers;
use flashsale_testkit::{Fixture, sample};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::Values;
use crate::language::Language;
use crate::own::Own;

/// Where a conversation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Greeting,
    Mail,
    Receiver,
    Data,
    Letter,
}

/// What the server does at a step.
#[derive(Debug, Clone, Copy)]
enum Does {
    GoesOn,
    Says(&'static str),
    HangsUp,
    SaysNothing,
}

type Script = Arc<dyn Fn(Step, &str, usize) -> Does + Send + Sync>;

/// A server on loopback. The script is told the step, the receiver, and how many letters of him came so far.
struct Sink {
    at: SocketAddr,
    letters: Arc<Mutex<Vec<(String, String)>>>,
    /// The most conversations that there were at a time, and how many in all.
    most: Arc<AtomicUsize>,
    begun: Arc<AtomicUsize>,
}

impl Sink {
    async fn doing(script: impl Fn(Step, &str, usize) -> Does + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (letters, most, open) = (Arc::default(), Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let begun = Arc::<AtomicUsize>::default();
        let sink = Self { at, letters: Arc::clone(&letters), most: most.clone(), begun: begun.clone() };
        let script: Script = Arc::new(script);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                begun.fetch_add(1, Ordering::SeqCst);
                let (script, letters, most, open) = (script.clone(), letters.clone(), most.clone(), open.clone());
                tokio::spawn(async move {
                    most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    let _ = talk(stream, &script, &letters).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        sink
    }

    async fn willing() -> Self {
        Self::doing(|_, _, _| Does::GoesOn).await
    }

    fn letters(&self) -> Vec<String> {
        self.letters.lock().unwrap().iter().map(|(_, letter)| letter.clone()).collect()
    }

    fn carrier(&self) -> Carrier {
        let server = Server {
            host: self.at.ip().to_string(),
            port: self.at.port(),
            secrecy: Secrecy::Plain,
            login: None,
            hello: "shop.example.org".to_owned(),
        };
        Carrier::Smtp(server)
    }
}

/// One conversation; `None` when it is over.
async fn talk(mut stream: TcpStream, script: &Script, letters: &Mutex<Vec<(String, String)>>) -> Option<()> {
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read).lines();
    let mut to = String::new();
    let seen = |to: &str| letters.lock().unwrap().iter().filter(|(other, _)| other == to).count();
    // Answers a step; `None` hangs up.
    async fn answer(write: &mut (impl AsyncWriteExt + Unpin), does: Does, usual: &str) -> Option<bool> {
        let (said, on) = match does {
            Does::GoesOn => (usual, true),
            Does::Says(said) => (said, false),
            Does::HangsUp => return None,
            Does::SaysNothing => std::future::pending().await,
        };
        write.write_all(format!("{said}\r\n").as_bytes()).await.ok()?;
        Some(on)
    }
    answer(&mut write, script(Step::Greeting, "", 0), "220 sink").await?;
    while let Ok(Some(line)) = lines.next_line().await {
        let word = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
        match word.as_str() {
            "EHLO" => answer(&mut write, Does::GoesOn, "250-sink\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN").await?,
            "AUTH" => answer(&mut write, Does::GoesOn, "535 5.7.8 no").await?,
            "MAIL" => answer(&mut write, script(Step::Mail, "", 0), "250 ok").await?,
            "RCPT" => {
                to = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                answer(&mut write, script(Step::Receiver, &to, seen(&to)), "250 ok").await?
            }
            "DATA" => {
                if answer(&mut write, script(Step::Data, &to, seen(&to)), "354 go on").await? {
                    let mut letter = String::new();
                    while let Ok(Some(line)) = lines.next_line().await {
                        if line == "." {
                            break;
                        }
                        letter.push_str(line.strip_prefix('.').unwrap_or(&line));
                        letter.push_str("\r\n");
                    }
                    let does = script(Step::Letter, &to, seen(&to));
                    if !matches!(does, Does::Says(_)) {
                        letters.lock().unwrap().push((to.clone(), letter));
                    }
                    answer(&mut write, does, "250 taken").await?;
                }
                true
            }
            "RSET" => answer(&mut write, Does::GoesOn, "250 ok").await?,
            "QUIT" => {
                answer(&mut write, Does::GoesOn, "221 bye").await?;
                return None;
            }
            _ => answer(&mut write, Does::GoesOn, "502 what?").await?,
        };
    }
    None
}

/// An address book in a file of its own: `ann` reads Korean, `bob` English.
async fn contacts(directory: &Path) -> Contacts {
    let file = directory.join("book.db");
    std::fs::File::create(&file).unwrap();
    let flag = ("sql.url".to_owned(), format!("sqlite://{}", file.display()));
    let config = Values::gather(None, [], [flag]).unwrap().config().unwrap();
    let book = Contacts::open(&Own::open(&config.sql_url).unwrap()).await.unwrap();
    for (member, language) in [("ann", Language::Korean), ("bob", Language::English), ("carl", Language::English)] {
        let contact = Contact { email: format!("{member}@example.org"), language };
        book.put(&sample::buyer(member), &contact).await.unwrap();
    }
    book
}

struct Office {
    mailer: Mailer,
    directory: tempfile::TempDir,
}

impl Office {
    async fn over(carrier: Option<Carrier>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mailer = Mailer {
            contacts: contacts(directory.path()).await,
            carrier: carrier.unwrap_or_else(|| Carrier::Folder(directory.path().join("outbox"))),
            from: "Shop <no-reply@shop.example.org>".parse().unwrap(),
            public_url: "https://shop.example.org".to_owned(),
            timeout: Duration::from_secs(10),
            lanes: 4,
        };
        Self { mailer, directory }
    }

    fn outbox(&self) -> BTreeMap<String, String> {
        let files = std::fs::read_dir(self.directory.path().join("outbox")).into_iter().flatten().flatten();
        files
            .map(|file| {
                let name = file.file_name().into_string().unwrap();
                (name, std::fs::read_to_string(file.path()).unwrap())
            })
            .collect()
    }
}

fn confirmed(to: &str, n: usize) -> Notice {
    let key = NoticeKey::new(format!("{to}~k.{n}/3/order.confirmed")).unwrap();
    let message = Says::OrderConfirmed { order: sample::order(&format!("{to}~k.{n}")), pays: sample::amount(129_000) };
    Notice { key, to: sample::buyer(to), at: Timestamp::from_ms(1_800_000_000_000), message }
}

/// A header of a letter.
fn header<'a>(letter: &'a str, name: &str) -> Option<&'a str> {
    let head = letter.split("\r\n\r\n").next().unwrap_or_default();
    head.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The key by which a letter can be told.
fn key(letter: &str) -> NoticeKey {
    let id = header(letter, "Message-ID").expect("it has a name");
    let mut local = id.trim_start_matches('<').split('@').next().unwrap().to_owned();
    for (code, character) in [("=2E", "."), ("=3A", ":"), ("=3D", "=")] {
        local = local.replace(code, character);
    }
    NoticeKey::new(local).unwrap()
}

const RIGHT: [Outcome; 1] = [Outcome::HandedOver];
const LATER: [Outcome; 1] = [Outcome::NotNow];
const NEVER: [Outcome; 1] = [Outcome::Refused(Unsendable::Rejected)];

#[tokio::test]
async fn a_letter_is_handed_over_with_its_name_its_parts_and_its_language() {
    let sink = Sink::willing().await;
    let office = Office::over(Some(sink.carrier())).await;
    assert_eq!(office.mailer.send(&[confirmed("ann", 1), confirmed("bob", 1)]).await, [Outcome::HandedOver; 2]);
    let letters = sink.letters();
    let of = |to: &str| letters.iter().find(|letter| header(letter, "To").unwrap().contains(to)).unwrap();
    let english = of("bob");
    assert_eq!(header(english, "Subject"), Some("Your order is confirmed"));
    assert_eq!(header(english, "Message-ID"), Some("<bob~k=2E1/3/order=2Econfirmed@shop.example.org>"));
    assert_eq!(header(english, "Date"), Some("Fri, 15 Jan 2027 08:00:00 +0000"), "the time of the fact");
    assert_eq!(header(english, "Auto-Submitted"), Some("auto-generated"));
    assert!(english.contains("text/plain") && english.contains("text/html"));
    assert!(english.contains("https://shop.example.org/orders/bob~k.1"), "{english}");
    assert_eq!(header(of("ann"), "Content-Language"), Some("ko"));
    assert!(header(of("ann"), "Subject").unwrap().starts_with("=?utf-8?"));
}

#[tokio::test]
async fn a_temporary_refusal_is_not_now_and_keeps_no_other_from_going() {
    let sink = Sink::doing(|step, to, _| match (step, to) {
        (Step::Receiver, "bob@example.org") => Does::Says("450 4.2.1 busy"),
        (Step::Letter, "carl@example.org") => Does::Says("451 4.3.0 later"),
        _ => Does::GoesOn,
    })
    .await;
    let mut office = Office::over(Some(sink.carrier())).await;
    office.mailer.lanes = 1;
    let notices = [confirmed("bob", 1), confirmed("carl", 1), confirmed("ann", 1)];
    assert_eq!(office.mailer.send(&notices).await, [Outcome::NotNow, Outcome::NotNow, Outcome::HandedOver]);
    assert_eq!(sink.letters().len(), 1);
}

#[tokio::test]
async fn a_refusal_of_the_receiver_or_the_letter_is_for_good() {
    for (at, says) in [(Step::Receiver, "550 5.1.1 no ann@example.org here"), (Step::Letter, "554 5.7.1 spam")] {
        let sink = Sink::doing(move |step, to, _| match to {
            "ann@example.org" if step == at => Does::Says(says),
            _ => Does::GoesOn,
        })
        .await;
        let mut office = Office::over(Some(sink.carrier())).await;
        office.mailer.lanes = 1;
        let outcomes = office.mailer.send(&[confirmed("ann", 1), confirmed("bob", 1)]).await;
        assert_eq!(outcomes, [NEVER[0], Outcome::HandedOver]);
    }
}

#[tokio::test]
async fn a_server_that_does_not_want_us_says_nothing_about_the_letter() {
    for (at, says) in [
        (Step::Greeting, "554 5.7.1 go away"),
        (Step::Mail, "550 5.7.1 not from here"),
        (Step::Receiver, "530 5.7.0 log in"),
    ] {
        let sink = Sink::doing(move |step, _, _| if step == at { Does::Says(says) } else { Does::GoesOn }).await;
        let office = Office::over(Some(sink.carrier())).await;
        assert_eq!(office.mailer.send(&[confirmed("ann", 1)]).await, LATER, "{says}");
    }
    // A wrong password.
    let sink = Sink::willing().await;
    let Carrier::Smtp(server) = sink.carrier() else { panic!() };
    let login = Some(("shop".to_owned(), "wrong".to_owned()));
    let office = Office::over(Some(Carrier::Smtp(Server { login, ..server }))).await;
    assert_eq!(office.mailer.send(&[confirmed("ann", 1)]).await, LATER);
    // Nobody there.
    drop(sink);
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = gone.local_addr().unwrap().port();
    drop(gone);
    let server = Server { host: "127.0.0.1".into(), port, secrecy: Secrecy::Plain, login: None, hello: "x".into() };
    let office = Office::over(Some(Carrier::Smtp(server))).await;
    assert_eq!(office.mailer.send(&[confirmed("ann", 1)]).await, LATER);
}

#[tokio::test]
async fn an_answer_lost_after_the_letter_is_not_now_and_the_repeat_is_the_same_letter() {
    let sink = Sink::doing(|step, _, before| match step {
        Step::Letter if before == 0 => Does::HangsUp,
        _ => Does::GoesOn,
    })
    .await;
    let office = Office::over(Some(sink.carrier())).await;
    let notice = [confirmed("ann", 1)];
    assert_eq!(office.mailer.send(&notice).await, LATER, "nobody knows");
    assert_eq!(office.mailer.send(&notice).await, RIGHT);
    let letters = sink.letters();
    assert_eq!(letters.len(), 2);
    assert_eq!(letters[0], letters[1], "to the byte, so under the same Message-ID");
    assert_eq!(key(&letters[0]), notice[0].key);
}

#[tokio::test]
async fn a_server_that_is_silent_is_left_in_time_at_every_step() {
    for at in [Step::Greeting, Step::Mail, Step::Receiver, Step::Data, Step::Letter] {
        let sink = Sink::doing(move |step, _, _| if step == at { Does::SaysNothing } else { Does::GoesOn }).await;
        let mut office = Office::over(Some(sink.carrier())).await;
        office.mailer.timeout = Duration::from_millis(100);
        let notices: Vec<Notice> = (0..40).map(|n| confirmed("ann", n)).collect();
        assert_eq!(office.mailer.send(&notices).await, [Outcome::NotNow; 40], "{at:?}");
        // Not one timeout a letter: each lane ends with its first, and the rest waits.
        assert_eq!(sink.begun.load(Ordering::SeqCst), 4, "{at:?}");
    }
}

#[tokio::test]
async fn no_more_conversations_than_lanes_and_each_carries_many_letters() {
    let sink = Sink::willing().await;
    let mut office = Office::over(Some(sink.carrier())).await;
    office.mailer.lanes = 3;
    let notices: Vec<Notice> = (0..60).map(|n| confirmed("bob", n)).collect();
    assert_eq!(office.mailer.send(&notices).await, [Outcome::HandedOver; 60]);
    assert_eq!(sink.letters().len(), 60);
    assert!(sink.most.load(Ordering::SeqCst) <= 3);
}

#[tokio::test]
async fn who_gave_no_address_is_not_reached_and_refused_if_he_took_it_back() {
    let office = Office::over(None).await;
    let members = ["ann", "nobody", "bob"].map(sample::buyer);
    assert_eq!(office.mailer.reach(&members).await.unwrap(), [Reach::Here, Reach::Nowhere, Reach::Here]);
    office.mailer.contacts.forget(&sample::buyer("ann")).await.unwrap();
    let refused = Outcome::Refused(Unsendable::NoAddress);
    assert_eq!(office.mailer.send(&[confirmed("ann", 1), confirmed("bob", 1)]).await, [refused, Outcome::HandedOver]);
}

#[tokio::test]
async fn an_address_that_could_end_a_line_reaches_nobody() {
    let office = Office::over(None).await;
    // Nothing of ours writes such a row; somebody else may have.
    let evil = Contact { email: "ann@example.org\r\nBcc: eve@example.org".to_owned(), language: Language::English };
    office.mailer.contacts.put(&sample::buyer("ann"), &evil).await.unwrap();
    assert_eq!(office.mailer.send(&[confirmed("ann", 1)]).await, [Outcome::Refused(Unsendable::BadAddress)]);
    assert!(office.outbox().is_empty());
}

#[tokio::test]
async fn every_letter_says_its_words_in_both_languages_and_escapes_what_is_put_in() {
    let order = || sample::order("ann~k1");
    let (item, units, within) = (sample::item("hat"), sample::units(2), Some(Duration::from_secs(600)));
    let until = Timestamp::from_ms(1_800_000_000_000);
    let coupon = "welcome~2027-01~ann".parse().unwrap();
    let messages = [
        Says::OrderAccepted { order: order(), pays: sample::amount(9_000), pay_by: Some(until) },
        Says::OrderAccepted { order: order(), pays: sample::amount(0), pay_by: None },
        Says::OrderConfirmed { order: order(), pays: sample::amount(9_000) },
        Says::OrderCancelled { order: order(), reason: "<b>\r\nBcc: eve@example.org".to_owned() },
        Says::OrderReturned { order: order() },
        Says::OfferMade { offer: order(), item: item.clone(), units, within },
        Says::OfferLapsed { offer: order(), item, units },
        Says::CouponIssued { coupon, campaign: "welcome".parse().unwrap(), until },
    ];
    for language in [Language::English, Language::Korean] {
        let mut subjects = Vec::new();
        for message in &messages {
            let notice = Notice { message: message.clone(), ..confirmed("ann", 1) };
            let letter = Letter::of(&notice, language, "https://shop.example.org/?a=1&b=\"<");
            let written = letter.message(&"a@b.example".parse().unwrap(), &"c@d.example".parse().unwrap()).unwrap();
            let bytes = String::from_utf8(written.formatted()).unwrap();
            assert!(bytes.is_ascii(), "every server takes it");
            assert!(bytes.lines().all(|line| line.len() <= 998));
            assert!(
                header(&bytes, "Bcc").is_none() && !bytes.contains("eve@"),
                "a reason that nobody knows is not shown"
            );
            let shown = letter.html().unwrap();
            assert!(!shown.contains("b=\"<") && shown.contains("&amp;") | shown.contains("&#38;"), "{shown}");
            subjects.push(header(&bytes, "Subject").unwrap().to_owned());
        }
        subjects.dedup();
        assert_eq!(subjects.len(), messages.len() - 1, "all but the two acceptances differ: {subjects:?}");
    }
}

#[test]
fn a_file_is_named_by_its_notice_and_stays_in_its_folder() {
    let name = |key: &str| Folder::name(&NoticeKey::new(key).unwrap());
    assert_eq!(name("ann~k1/2/order.confirmed"), "ann~k1+2+order.confirmed.eml");
    assert_eq!(name("../../etc/passwd"), "+..+..+etc+passwd.eml");
    let long = |end: &str| name(&format!("{}{end}", "x".repeat(400)));
    assert!(long("1").len() < 255 && long("1") != long("2"));
}

/// Letters in a folder, as the suite sees them.
struct Folders(Mutex<Vec<Office>>);

#[async_trait]
impl Fixture for Folders {
    type Port = Mailer;

    async fn fresh(&self) -> Mailer {
        let office = Office::over(None).await;
        let mailer = office.mailer.again();
        self.0.lock().unwrap().push(office);
        mailer
    }

    async fn advance(&self, _: Duration) {}
}

#[async_trait]
impl Notifiers for Folders {
    async fn arrived(&self, _: &Mailer) -> Vec<NoticeKey> {
        let offices = self.0.lock().unwrap();
        offices.last().unwrap().outbox().values().map(|letter| key(letter)).collect()
    }

    fn refused(&self) -> Option<&'static str> {
        Some("nobody")
    }
}

/// Letters to a server, as the suite sees them.
struct Servers(Mutex<Vec<(Office, Sink)>>);

#[async_trait]
impl Fixture for Servers {
    type Port = Mailer;

    async fn fresh(&self) -> Mailer {
        let sink = Sink::doing(|step, to, _| match (step, to) {
            (Step::Receiver, "carl@example.org") => Does::Says("550 5.1.1 no such user"),
            _ => Does::GoesOn,
        })
        .await;
        let office = Office::over(Some(sink.carrier())).await;
        let mailer = office.mailer.again();
        self.0.lock().unwrap().push((office, sink));
        mailer
    }

    async fn advance(&self, _: Duration) {}
}

#[async_trait]
impl Notifiers for Servers {
    async fn arrived(&self, _: &Mailer) -> Vec<NoticeKey> {
        let servers = self.0.lock().unwrap();
        servers.last().unwrap().1.letters().iter().map(|letter| key(letter)).collect()
    }

    fn refused(&self) -> Option<&'static str> {
        Some("carl")
    }
}

impl Mailer {
    /// The same mailer, beside the office that keeps its folder.
    fn again(&self) -> Self {
        let Self { contacts, carrier, from, public_url, timeout, lanes } = self;
        let (contacts, carrier, from) = (contacts.clone(), carrier.clone(), from.clone());
        Self { contacts, carrier, from, public_url: public_url.clone(), timeout: *timeout, lanes: *lanes }
    }
}

mod folder_suite {
    use super::*;
    flashsale_testkit::notifier_suite!(Folders(Mutex::default()));
}

mod smtp_suite {
    use super::*;
    flashsale_testkit::notifier_suite!(Servers(Mutex::default()));
}
