//! A simulation of instances that share a bucket, on a clock of the test: the calls to them, and their requests to
//! Redis, whose answers are in time, late or lost.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::mem;

use idlewatt::limit::Quota;
use idlewatt::limit::contact::Contact;
use idlewatt::limit::lease::{Decision, Lease};
use idlewatt::limit::question::{Answer, Question};
use idlewatt::limit::share::Share;
use proptest::prelude::*;

use super::models::{Bucket, check_every_interval, share};

/// The time at which a simulation begins, in microseconds. It is not 0, because 0 means "no time" in the bucket.
const START: u64 = 1_700_000_000_000_000;

/// Microseconds that a call waits for the answer of Redis before the instance decides by itself.
const CALL_TIMEOUT: u64 = 15_000;

/// Microseconds after which the instance gives up a request and treats its answer as lost.
const ANSWER_TIMEOUT: u64 = 1_000_000;

/// Microseconds between two attempts to pay a debt.
const PAYMENT_INTERVAL: u64 = 100_000;

/// When a request to Redis is executed and answered, in microseconds after it was sent.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// When Redis executes it; `None` if the request is lost.
    pub executed: Option<u64>,
    /// When the answer arrives; `None` if it is lost.
    pub answered: Option<u64>,
}

const FAST: Timing = Timing { executed: Some(300), answered: Some(600) };

/// A call to one of the instances.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Microseconds after the previous call.
    pub after: u64,
    pub instance: usize,
    pub cost: u32,
    /// The timing of the request to Redis, if the call causes one.
    pub timing: Timing,
    /// Whether the instance has no connection to Redis from this call until its next call.
    pub is_down: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// Redis executes a request.
    Executed { number: usize },
    /// The answer of a request arrives.
    Answered { number: usize },
    /// The calls that wait for a request have waited for [`CALL_TIMEOUT`].
    Overdue { number: usize },
    /// The instance gives up a request.
    GivenUp { number: usize },
    /// An instance tries to pay its debt to the bucket.
    Payment { instance: usize },
    /// A call arrives.
    Called { number: usize },
}

/// A request that an instance sent to Redis.
#[derive(Clone, Copy, Debug)]
struct Sent {
    instance: usize,
    question: Question,
    /// When it was sent, in microseconds.
    at: u64,
    /// When Redis executed it, in microseconds, and what it answered.
    answer: Option<(u64, Answer)>,
    is_overdue: bool,
    /// The index in `spent` of the call that sent it, if that call was admitted on credit.
    credited: Option<usize>,
    /// Whether the call that sent it waits beyond the timeout, because there was no credit for it.
    call_waits_on: bool,
}

#[derive(Debug)]
struct Instance {
    lease: Lease,
    contact: Contact,
    share: Share,
    /// Nanoseconds added to its clock, because the clocks of instances are independent.
    offset: u64,
    /// The number of the request in flight.
    in_flight: Option<usize>,
    /// The costs of the calls that wait for the answer.
    waiting: Vec<u32>,
    is_down: bool,
    /// Whether the next payment of its debt is scheduled.
    is_payment_scheduled: bool,
}

/// Instances that share a bucket.
pub struct Simulation {
    quota: Quota,
    bucket: Bucket,
    instances: Vec<Instance>,
    calls: Vec<Call>,
    queue: BinaryHeap<Reverse<(u64, Event)>>,
    sent: Vec<Sent>,
    /// The times at which tokens were spent, in nanoseconds, and how many were spent.
    spent: Vec<(u64, u32)>,
    /// The number of calls that were admitted on credit.
    pub credited: u32,
    /// The number of calls that were refused.
    pub refused: u32,
    /// The number of calls that waited beyond the timeout, because there was no credit for them.
    pub exhausted: u32,
    /// The number of calls that were decided without Redis, because it was unavailable.
    pub without_redis: u32,
    /// Whether a run ends as soon as Redis is unavailable: from then on instances have buckets of their own, and
    /// together they may allow more than one bucket.
    pub ends_without_redis: bool,
    /// The time after the last call at which a run ends in any case.
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
                in_flight: None,
                waiting: Vec::new(),
                is_down: false,
                is_payment_scheduled: false,
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
            without_redis: 0,
            ends_without_redis: true,
            ends_at: START,
        };
        let mut at = START;
        for (number, call) in calls.iter().enumerate() {
            at += call.after;
            simulation.schedule(at, 0, Event::Called { number });
        }
        simulation.calls = calls;
        simulation.ends_at = at + 5_000_000;
        simulation
    }

    fn schedule(&mut self, now: u64, after: u64, event: Event) {
        self.queue.push(Reverse((now + after, event)));
    }

    fn local_nanos(&self, instance: usize, now: u64) -> u64 {
        (now - START) * 1000 + self.instances[instance].offset
    }

    /// Takes up to `tokens` tokens, as an instance that has stopped since may have done.
    pub fn take_as_former_instance(&mut self, tokens: u32) {
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
                    let Call { instance, cost, timing, is_down, .. } = self.calls[number];
                    let instance = instance % self.instances.len();
                    self.instances[instance].is_down = is_down;
                    self.call(now, instance, cost, timing);
                }
                Event::Executed { number } => {
                    let answer = self.bucket.ask(self.quota, now, self.sent[number].question);
                    self.sent[number].answer = Some((now, answer));
                }
                Event::Answered { number } => self.receive(now, number),
                Event::Overdue { number } => self.overdue(now, number),
                Event::GivenUp { number } => self.give_up(now, number),
                Event::Payment { instance } => self.pay(now, instance),
            }
            let is_over = now > self.ends_at || (self.ends_without_redis && self.without_redis > 0);
            if is_over {
                return;
            }
        }
    }

    fn call(&mut self, now: u64, number: usize, cost: u32, timing: Timing) {
        let (quota, local) = (self.quota, self.local_nanos(number, now));
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
                self.send(now, number, question, timing);
            }
            Decision::Wait => instance.waiting.push(cost),
            decided => self.record(now, number, cost, decided, false),
        }
    }

    fn send(&mut self, now: u64, instance: usize, question: Question, timing: Timing) {
        let number = self.sent.len();
        self.sent.push(Sent {
            instance,
            question,
            at: now,
            answer: None,
            is_overdue: false,
            credited: None,
            call_waits_on: false,
        });
        self.instances[instance].in_flight = Some(number);
        if let Some(executed) = timing.executed {
            self.schedule(now, executed, Event::Executed { number });
        }
        if let Some(answered) = timing.answered {
            self.schedule(now, answered, Event::Answered { number });
        }
        self.schedule(now, CALL_TIMEOUT, Event::Overdue { number });
        self.schedule(now, ANSWER_TIMEOUT, Event::GivenUp { number });
    }

    fn record(&mut self, now: u64, instance: usize, cost: u32, decision: Decision, is_asker: bool) {
        match decision {
            Decision::Spent { .. } => self.spent.push((now * 1000, cost)),
            Decision::Credited { .. } => {
                self.spent.push((now * 1000, cost));
                self.credited += 1;
                self.schedule_payment(now, instance);
            }
            Decision::Refused { .. } => self.refused += 1,
            Decision::Exhausted { .. } => {
                self.exhausted += 1;
                // The call that sent the request waits for its answer. Other calls wait until the request has any
                // result, and are decided then.
                if self.instances[instance].in_flight.is_some() && !is_asker {
                    self.instances[instance].waiting.push(cost);
                }
            }
            Decision::Unavailable { .. } => self.without_redis += 1,
            Decision::Ask | Decision::Wait => panic!("{decision:?} decides nothing"),
        }
    }

    fn schedule_payment(&mut self, now: u64, instance: usize) {
        if !self.instances[instance].is_payment_scheduled {
            self.instances[instance].is_payment_scheduled = true;
            self.schedule(now, PAYMENT_INTERVAL, Event::Payment { instance });
        }
    }

    fn pay(&mut self, now: u64, number: usize) {
        let (quota, local) = (self.quota, self.local_nanos(number, now));
        let instance = &mut self.instances[number];
        instance.is_payment_scheduled = false;
        if instance.lease.debt() == 0 {
            return;
        }
        let share = instance.share;
        if !instance.is_down
            && let Some(question) = instance.lease.payment(quota, share, local, quota.burst / 4)
        {
            // Payments are as late as the requests of calls.
            let timing = self.calls[self.sent.len() % self.calls.len()].timing;
            self.send(now, number, question, timing);
        }
        self.schedule_payment(now, number);
    }

    fn receive(&mut self, now: u64, number: usize) {
        let Sent { instance, question, at, answer, is_overdue, credited, call_waits_on } =
            self.sent[number];
        if self.instances[instance].in_flight != Some(number) {
            return;
        }
        let (executed, answer) = answer.expect("Redis executed it before");
        let (sent, received) = (self.local_nanos(instance, at), self.local_nanos(instance, now));
        let sender = &mut self.instances[instance];
        sender.in_flight = None;
        if !sender.is_down {
            sender.contact.answered();
        }
        sender.lease.learn(self.quota, question, answer, sent, received);
        let waiting = mem::take(&mut sender.waiting);
        if (!is_overdue || call_waits_on) && question.cost > 0 {
            if answer.taken {
                self.spent.push((executed * 1000, question.cost));
            } else {
                self.refused += 1;
            }
        }
        // A call on credit counts as spent when Redis took its token, if that was before the call was admitted.
        if answer.taken
            && let Some(index) = credited
        {
            self.spent[index].0 = self.spent[index].0.min(executed * 1000);
        }
        for cost in waiting {
            self.call(now, instance, cost, FAST);
        }
    }

    fn overdue(&mut self, now: u64, number: usize) {
        let Sent { instance, question, at, .. } = self.sent[number];
        if self.instances[instance].in_flight != Some(number) {
            return;
        }
        self.sent[number].is_overdue = true;
        let (quota, sent, local) =
            (self.quota, self.local_nanos(instance, at), self.local_nanos(instance, now));
        let sender = &mut self.instances[instance];
        sender.lease.overdue();
        sender.contact.unanswered(sent);
        sender.contact.pause(local);
        let link = sender.contact.link(local, !sender.is_down);
        let waiting = mem::take(&mut sender.waiting);
        if question.cost > 0 {
            let decided =
                sender.lease.decide_asker(quota, sender.share, link, local, question.cost);
            self.record(now, instance, question.cost, decided, true);
            match decided {
                Decision::Credited { .. } => {
                    self.sent[number].credited = Some(self.spent.len() - 1);
                }
                Decision::Exhausted { .. } => self.sent[number].call_waits_on = true,
                _ => {}
            }
        }
        for cost in waiting {
            self.call(now, instance, cost, FAST);
        }
    }

    fn give_up(&mut self, now: u64, number: usize) {
        let instance = self.sent[number].instance;
        let sender = &mut self.instances[instance];
        if sender.in_flight.take_if(|in_flight| *in_flight == number).is_some() {
            sender.lease.give_up(self.quota);
            for cost in mem::take(&mut sender.waiting) {
                self.call(now, instance, cost, FAST);
            }
        }
    }

    /// Checks that in no interval more was spent than the bucket's depth and what was refilled.
    pub fn check_every_interval(&mut self) -> Result<(), TestCaseError> {
        check_every_interval(self.quota, &mut self.spent)
    }
}
