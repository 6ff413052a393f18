//! The queue in front of a sink, bounded in batches and in the memory that they take.
//!
//! A batch of usual records has half a megabyte, and some must wait, so that workers and sinks need not go in step. A
//! batch of one huge record may take a hundred times as much, and then the next one waits until it has been delivered.

use std::sync::Arc;

use downspout_core::metrics::ComponentMetrics;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::sink_driver::Flight;

/// Batches that wait.
const FLIGHTS: usize = 8;

/// The memory that waiting batches and the one that is being delivered take, in KiB. A larger one comes alone.
const ROOM: u32 = 16 << 10;

/// A sink's end of its queue.
pub(crate) type Flights = mpsc::Receiver<(Flight, Room)>;

/// A batch's share of the memory: given back when it is dropped.
pub(crate) type Room = OwnedSemaphorePermit;

/// The sources' end of the queue.
#[derive(Clone)]
pub(crate) struct Queue {
    flights: mpsc::Sender<(Flight, Room)>,
    room: Arc<Semaphore>,
    pub(crate) metrics: ComponentMetrics,
}

/// The sink has stopped.
#[derive(Debug)]
pub(crate) struct Gone;

impl Queue {
    /// A queue in front of the sink with these metrics.
    pub(crate) fn new(metrics: ComponentMetrics) -> (Queue, Flights) {
        let (sender, flights) = mpsc::channel(FLIGHTS);
        (Queue { flights: sender, room: Arc::new(Semaphore::new(ROOM as usize)), metrics }, flights)
    }

    /// Waits for room and puts a batch into the queue.
    pub(crate) async fn send(&self, flight: Flight) -> Result<(), Gone> {
        let memory: usize = flight.batches.iter().map(|batch| batch.memory()).sum();
        let share = u32::try_from(memory >> 10).unwrap_or(ROOM).clamp(1, ROOM);
        let room = Arc::clone(&self.room).acquire_many_owned(share).await.map_err(|_| Gone)?;
        self.flights.send((flight, room)).await.map_err(|_| Gone)
    }
}

#[cfg(test)]
mod tests {
    use downspout_core::ack::Acks;
    use downspout_core::{Batch, Origin, Records, Span};
    use futures::FutureExt;

    use super::*;

    /// A batch of one record that long.
    fn flight(acks: &mut Acks, len: usize) -> Flight {
        let origin = Origin { source: "s".into(), shard: "x".into() };
        let text = format!("{{\"a\":\"{}\"}}", "x".repeat(len));
        let spans = vec![Span { start: 0, len: text.len(), position: 1 }];
        let (batch, _) = Batch::decode(Records { text: text.into(), spans }, origin.clone(), Arc::default());
        Flight { origin, end: 1, batches: vec![Arc::new(batch)], ack: acks.issue().1 }
    }

    /// How many batches of that size the queue takes while the sink takes none.
    fn taken(queue: &Queue, len: usize) -> usize {
        let (mut acks, _resolved) = Acks::new();
        (0..100).take_while(|_| queue.send(flight(&mut acks, len)).now_or_never().is_some()).count()
    }

    #[test]
    fn it_is_bounded_in_batches_and_in_memory() {
        let queue = || Queue::new(ComponentMetrics::detached("out", "sink", "file").unwrap());
        for (len, fit) in
            [(10, FLIGHTS..FLIGHTS + 1), (512 << 10, FLIGHTS..FLIGHTS + 1), (4 << 20, 1..4), (32 << 20, 1..2)]
        {
            let (queue, flights) = queue();
            let taken = taken(&queue, len);
            assert!(fit.contains(&taken), "{taken} batches of {len} bytes");
            drop(flights);
        }
    }

    #[test]
    fn a_batch_keeps_its_room_until_it_is_delivered() {
        let (queue, mut flights) = Queue::new(ComponentMetrics::detached("out", "sink", "file").unwrap());
        assert_eq!(taken(&queue, 32 << 20), 1);
        let (under_way, room) = flights.try_recv().unwrap();
        assert_eq!(taken(&queue, 32 << 20), 0);
        drop((under_way, room));
        assert_eq!(taken(&queue, 32 << 20), 1);
    }

    #[test]
    fn nobody_waits_for_a_sink_that_has_stopped() {
        let (queue, flights) = Queue::new(ComponentMetrics::detached("out", "sink", "file").unwrap());
        let (mut acks, _resolved) = Acks::new();
        assert_eq!(taken(&queue, 32 << 20), 1);
        drop(flights);
        assert!(matches!(queue.send(flight(&mut acks, 32 << 20)).now_or_never(), Some(Err(Gone))));
    }
}
