// @castore/event-storage-adapter-dynamodb through @castore/core's EventStore, as its README says.
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { EventStore, EventType } from "@castore/core";
import { DynamoDBSingleTableEventStorageAdapter } from "@castore/event-storage-adapter-dynamodb";
import { Conflict, clientOptions, serve } from "./serve.mjs";

const store = new EventStore({
  eventStoreId: "ORDERS",
  eventTypes: [new EventType({ type: "ORDER_PLACED" })],
  reducer: (aggregate, event) => ({ aggregateId: event.aggregateId, version: event.version }),
  eventStorageAdapter: new DynamoDBSingleTableEventStorageAdapter({
    tableName: process.env.BENCH_TABLE,
    dynamoDBClient: new DynamoDBClient(clientOptions),
  }),
});

serve({
  // One event is a push, several are an event group: one transaction.
  async append({ stream, payloads, after }) {
    const events = payloads.map((text, index) => ({
      aggregateId: stream,
      version: after + index + 1,
      type: "ORDER_PLACED",
      payload: JSON.parse(text),
    }));
    try {
      if (events.length === 1) await store.pushEvent(events[0]);
      else await EventStore.pushEventGroup(...events.map((event) => store.groupEvent(event)));
    } catch (error) {
      if (error.name === "DynamoDBEventAlreadyExistsError" || error.code === "EventAlreadyExistsError") throw new Conflict();
      throw error;
    }
  },
  async load({ stream }) {
    return (await store.getEvents(stream)).events.length;
  },
});
