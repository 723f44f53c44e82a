// event-store-adapter-js: persistEvent and persistEventAndSnapshot, and the repository's findById, as its README says.
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import adapter from "event-store-adapter-js";
import { Conflict, clientOptions, serve } from "./serve.mjs";

class OrderId {
  typeName = "order";
  constructor(value) {
    this.value = value;
  }
  asString() {
    return `${this.typeName}-${this.value}`;
  }
}

class Order {
  typeName = "Order";
  constructor(id, sequenceNumber, version) {
    Object.assign(this, { id, sequenceNumber, version });
  }
  withVersion(version) {
    return new Order(this.id, this.sequenceNumber, version);
  }
  updateVersion(change) {
    return this.withVersion(change(this.version));
  }
}

const idOf = ({ value }) => new OrderId(value);
const toEvent = ({ data }) => ({ ...data, aggregateId: idOf(data.aggregateId), occurredAt: new Date(data.occurredAt) });
const toOrder = ({ data }) => new Order(idOf(data.id), data.sequenceNumber, data.version);

const store = adapter.EventStoreFactory.ofDynamoDB(
  new DynamoDBClient(clientOptions),
  process.env.BENCH_TABLE,
  process.env.BENCH_SNAPSHOTS,
  "journal-aid-index",
  "snapshots-aid-index",
  32,
  toEvent,
  toOrder,
);

serve({
  // It takes one event a call. The first one needs a snapshot; those after it go without.
  async append({ stream, payloads, after }) {
    const id = new OrderId(stream);
    try {
      for (const [index, text] of payloads.entries()) {
        const sequenceNumber = after + index + 1;
        const event = {
          typeName: "OrderPlaced",
          id: crypto.randomUUID(),
          aggregateId: id,
          sequenceNumber,
          occurredAt: new Date(),
          isCreated: sequenceNumber === 1,
          payload: JSON.parse(text),
        };
        if (event.isCreated) await store.persistEventAndSnapshot(event, new Order(id, 1, 1));
        else await store.persistEvent(event, sequenceNumber - 1);
      }
    } catch (error) {
      if (error.name === "OptimisticLockError") throw new Conflict();
      throw error;
    }
  },
  // The created event is in the snapshot.
  async load({ stream }) {
    const id = new OrderId(stream);
    const snapshot = await store.getLatestSnapshotById(id);
    if (snapshot === undefined) return 0;
    const events = await store.getEventsByIdSinceSequenceNumber(id, snapshot.sequenceNumber + 1);
    return snapshot.sequenceNumber + events.length;
  },
});
