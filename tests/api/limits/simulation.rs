//! Instances that share a bucket, on a clock of the test: their calls, and requests to Redis whose answers are in time,
//! late or never arrive.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::mem;

use idlewatt::limit::Quota;
use idlewatt::limit::contact::Contact;
use idlewatt::limit::lease::{Decision, Lease};
use idlewatt::limit::question::{Answer, Question};
use idlewatt::limit::share::Share;
use proptest::prelude::*;

use super::model::{Bucket, check_every_window, share};

/// The time at which a run begins, in microseconds, because 0 means no time.
const START: u64 = 1_700_000_000_000_000;

/// Microseconds that a call waits for an answer.
const PATIENCE: u64 = 15_000;

/// Microseconds after which an answer is not waited for any more.
const AWAY: u64 = 1_000_000;

/// Microseconds between two attempts to pay a debt.
const PAYMENT_INTERVAL: u64 = 100_000;

/// The fate of a request to Redis. Times are microseconds after it was sent.
#[derive(Clone, Copy, Debug)]
pub struct Travel {
    /// When Redis carries it out; `None` if the request is lost.
    pub done: Option<u64>,
    /// When the answer arrives; `None` if it is lost.
    pub back: Option<u64>,
}

const SWIFT: Travel = Travel { done: Some(300), back: Some(600) };

/// A call to one of the instances.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Microseconds after the call before.
    pub after: u64,
    pub instance: usize,
    pub cost: u32,
    /// The fate of the request, if it sends one.
    pub travel: Travel,
    /// Whether its instance has no connection to Redis from then on until the next call.
    pub is_down: bool,
}

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// Redis carries out a request.
    Done {
        number: usize,
    },
    /// Its answer arrives.
    Back {
        number: usize,
    },
    /// Calls have waited long enough for it.
    Overdue {
        number: usize,
    },
    /// It is not waited for any more.
    GivenUp {
        number: usize,
    },
    /// A bucket pays its debt.
    Payment {
        instance: usize,
    },
    Called {
        number: usize,
    },
}

/// A request that was sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    instance: usize,
    question: Question,
    /// When, in microseconds.
    at: u64,
    /// What Redis answered, and when.
    answer: Option<(u64, Answer)>,
    is_overdue: bool,
    /// Where the call that sent it was noted, if it was admitted on credit.
    credited: Option<usize>,
    /// Whether it keeps waiting, because it was not.
    endures: bool,
}

/// An instance.
#[derive(Debug)]
struct Instance {
    lease: Lease,
    contact: Contact,
    share: Share,
    /// By how many nanoseconds its clock is off: they have no common time.
    offset: u64,
    /// The request in flight.
    asked: Option<usize>,
    /// The costs of the calls that wait for the answer.
    waiting: Vec<u32>,
    is_down: bool,
    pays: bool,
}

/// Instances that share a bucket.
pub struct Simulation {
    quota: Quota,
    bucket: Bucket,
    instances: Vec<Instance>,
    calls: Vec<Call>,
    queue: BinaryHeap<Reverse<(u64, Event)>>,
    sent: Vec<Sent>,
    /// When tokens were spent, in nanoseconds, and how many.
    spent: Vec<(u64, u32)>,
    /// Calls that were admitted on credit, that were refused, that had to keep waiting, and that found Redis
    /// unavailable.
    pub credited: u32,
    pub refused: u32,
    pub exhausted: u32,
    pub away: u32,
    /// Whether a run ends when Redis becomes unavailable, because then nothing is guaranteed.
    pub ends_when_away: bool,
    /// When it ends in any case: some time after the last call.
    ends_at: u64,
}

impl Simulation {
    pub fn new(quota: Quota, count: usize, calls: Vec<Call>) -> Self {
        let instances = (0..count).map(|number| {
            let offset = [1, 77_000_000_000, 5, 1_000, 3_000_000_000][number];
            let contact = Contact::default();
            contact.answered();
            Instance {
                lease: Lease::default(),
                contact,
                share: share(quota, count, offset),
                offset,
                asked: None,
                waiting: Vec::new(),
                is_down: false,
                pays: false,
            }
        });
        let mut simulation = Self {
            quota,
            bucket: Bucket::default(),
            instances: instances.collect(),
            calls: Vec::new(),
            queue: BinaryHeap::new(),
            sent: Vec::new(),
            spent: Vec::new(),
            credited: 0,
            refused: 0,
            exhausted: 0,
            away: 0,
            ends_when_away: true,
            ends_at: START,
        };
        let mut at = START;
        for (number, call) in calls.iter().enumerate() {
            at += call.after;
            simulation.later(at, 0, Event::Called { number });
        }
        simulation.calls = calls;
        simulation.ends_at = at + 5_000_000;
        simulation
    }

    fn later(&mut self, now: u64, after: u64, event: Event) {
        self.queue.push(Reverse((now + after, event)));
    }

    fn local(&self, instance: usize, now: u64) -> u64 {
        (now - START) * 1000 + self.instances[instance].offset
    }

    /// An instance that has ended since may have taken up to so many tokens.
    pub fn draw(&mut self, tokens: u32) {
        let reserve = self.instances[0].share.reserve;
        let cost = tokens.min(self.quota.burst - reserve);
        let question = Question {
            cost,
            debt: 0,
            lease_wanted: 0,
            stamp: 0,
            unspent: 0,
            expected_level: 0,
            reserve,
        };
        self.bucket.ask(self.quota, START, question);
        self.spent.push((START * 1000, cost));
    }

    pub fn run(&mut self) {
        while let Some(Reverse((now, event))) = self.queue.pop() {
            match event {
                Event::Called { number } => {
                    let Call { instance, cost, travel, is_down, .. } = self.calls[number];
                    let instance = instance % self.instances.len();
                    self.instances[instance].is_down = is_down;
                    self.call(now, instance, cost, travel);
                }
                Event::Done { number } => {
                    let answer = self.bucket.ask(self.quota, now, self.sent[number].question);
                    self.sent[number].answer = Some((now, answer));
                }
                Event::Back { number } => self.back(now, number),
                Event::Overdue { number } => self.overdue(now, number),
                Event::GivenUp { number } => self.give_up(now, number),
                Event::Payment { instance } => self.pay(now, instance),
            }
            let is_over = now > self.ends_at || (self.ends_when_away && self.away > 0);
            if is_over {
                return;
            }
        }
    }

    fn call(&mut self, now: u64, number: usize, cost: u32, travel: Travel) {
        let (quota, local) = (self.quota, self.local(number, now));
        let instance = &mut self.instances[number];
        let share = instance.share;
        let cost = quota.cost(cost).min(share.most_per_call(quota));
        if instance.is_down {
            instance.contact.unanswered(local);
        }
        let link = instance.contact.link(local, !instance.is_down);
        match instance.lease.decide(quota, share, link, local, cost) {
            Decision::Ask => {
                let question =
                    instance.lease.question(quota, share, local, cost, quota.burst / 4, 0);
                self.send(now, number, question, travel);
            }
            Decision::Wait => instance.waiting.push(cost),
            decided => self.note(now, number, cost, decided, false),
        }
    }

    fn send(&mut self, now: u64, instance: usize, question: Question, travel: Travel) {
        let number = self.sent.len();
        self.sent.push(Sent {
            instance,
            question,
            at: now,
            answer: None,
            is_overdue: false,
            credited: None,
            endures: false,
        });
        self.instances[instance].asked = Some(number);
        if let Some(done) = travel.done {
            self.later(now, done, Event::Done { number });
        }
        if let Some(back) = travel.back {
            self.later(now, back, Event::Back { number });
        }
        self.later(now, PATIENCE, Event::Overdue { number });
        self.later(now, AWAY, Event::GivenUp { number });
    }

    fn note(&mut self, now: u64, instance: usize, cost: u32, decision: Decision, is_asker: bool) {
        match decision {
            Decision::Spent { .. } => self.spent.push((now * 1000, cost)),
            Decision::Credited { .. } => {
                self.spent.push((now * 1000, cost));
                self.credited += 1;
                self.plan_payment(now, instance);
            }
            Decision::Refused { .. } => self.refused += 1,
            Decision::Exhausted { .. } => {
                self.exhausted += 1;
                // The call that sent it waits for its own answer, another call for any result.
                if self.instances[instance].asked.is_some() && !is_asker {
                    self.instances[instance].waiting.push(cost);
                }
            }
            Decision::Unavailable { .. } => self.away += 1,
            Decision::Ask | Decision::Wait => panic!("{decision:?} decides nothing"),
        }
    }

    fn plan_payment(&mut self, now: u64, instance: usize) {
        if !self.instances[instance].pays {
            self.instances[instance].pays = true;
            self.later(now, PAYMENT_INTERVAL, Event::Payment { instance });
        }
    }

    fn pay(&mut self, now: u64, number: usize) {
        let (quota, local) = (self.quota, self.local(number, now));
        let instance = &mut self.instances[number];
        instance.pays = false;
        if instance.lease.debt() == 0 {
            return;
        }
        let share = instance.share;
        if !instance.is_down
            && let Some(question) = instance.lease.payment(quota, share, local, quota.burst / 4)
        {
            // As late as the answers to calls.
            let travel = self.calls[self.sent.len() % self.calls.len()].travel;
            self.send(now, number, question, travel);
        }
        self.plan_payment(now, number);
    }

    fn back(&mut self, now: u64, number: usize) {
        let Sent { instance, question, at, answer, is_overdue, credited, endures } =
            self.sent[number];
        if self.instances[instance].asked != Some(number) {
            return;
        }
        let (done, answer) = answer.expect("it comes after it was given");
        let (sent, received) = (self.local(instance, at), self.local(instance, now));
        let asking = &mut self.instances[instance];
        asking.asked = None;
        if !asking.is_down {
            asking.contact.answered();
        }
        asking.lease.learn(self.quota, question, answer, sent, received);
        let waiting = mem::take(&mut asking.waiting);
        if (!is_overdue || endures) && question.cost > 0 {
            if answer.taken {
                self.spent.push((done * 1000, question.cost));
            } else {
                self.refused += 1;
            }
        }
        // Its token is spent when Redis takes it.
        if answer.taken
            && let Some(noted) = credited
        {
            self.spent[noted].0 = self.spent[noted].0.min(done * 1000);
        }
        for cost in waiting {
            self.call(now, instance, cost, SWIFT);
        }
    }

    fn overdue(&mut self, now: u64, number: usize) {
        let Sent { instance, question, at, .. } = self.sent[number];
        if self.instances[instance].asked != Some(number) {
            return;
        }
        self.sent[number].is_overdue = true;
        let (quota, sent, local) =
            (self.quota, self.local(instance, at), self.local(instance, now));
        let asking = &mut self.instances[instance];
        asking.lease.overdue();
        asking.contact.unanswered(sent);
        asking.contact.pause(local);
        let link = asking.contact.link(local, !asking.is_down);
        let waiting = mem::take(&mut asking.waiting);
        if question.cost > 0 {
            let decided =
                asking.lease.decide_asker(quota, asking.share, link, local, question.cost);
            self.note(now, instance, question.cost, decided, true);
            match decided {
                Decision::Credited { .. } => {
                    self.sent[number].credited = Some(self.spent.len() - 1);
                }
                Decision::Exhausted { .. } => self.sent[number].endures = true,
                _ => {}
            }
        }
        for cost in waiting {
            self.call(now, instance, cost, SWIFT);
        }
    }

    fn give_up(&mut self, now: u64, number: usize) {
        let instance = self.sent[number].instance;
        let asking = &mut self.instances[instance];
        if asking.asked.take_if(|asked| *asked == number).is_some() {
            asking.lease.give_up(self.quota);
            for cost in mem::take(&mut asking.waiting) {
                self.call(now, instance, cost, SWIFT);
            }
        }
    }

    /// In no interval was more spent than the depth and the refill.
    pub fn check_every_window(&mut self) -> Result<(), TestCaseError> {
        check_every_window(self.quota, &mut self.spent)
    }
}
