// What was published and what arrived, from the offsets of one stream.  Pure.
//
// A stream numbers its publications 1, 2, 3, … within an epoch.  Whoever knows the first and the last
// number knows how many there were, whatever the publisher says.  `last` is the highest number
// that is accounted for: everything up to it has either arrived or is in `gaps` or `unrecoverable`.
//
//   published = received + gaps + unrecoverable      (duplicates are none of them)

export function createLedger() {
  return {
    epoch: null,
    last: null,
    published: 0,
    received: 0,
    gaps: 0, // missing between two that arrived: the hub broke its promise
    unrecoverable: 0, // the hub said that its history does not reach back so far
    duplicates: 0,
    newEpochs: 0, // the stream began anew: what was published in between cannot be counted
    recovery: null, // the last one; see `subscribed`
  };
}

// A subscription stands.  `position` is {epoch, offset}; `recovered` means something only together
// with `wasRecovering`.  Recovered publications are given to `publication` afterwards.
export function subscribed(ledger, { position, wasRecovering, recovered }) {
  const isNew = ledger.epoch !== null && ledger.epoch !== position.epoch;
  const before = counts(ledger);
  ledger.recovery = null;
  if (ledger.epoch === null) {
    ledger.last = position.offset;
  } else if (isNew) {
    ledger.newEpochs += 1;
    ledger.last = position.offset;
  } else if (!(wasRecovering && recovered) && position.offset > ledger.last) {
    const missed = position.offset - ledger.last;
    ledger.unrecoverable += missed;
    ledger.published += missed;
    ledger.last = position.offset;
  }
  if (ledger.epoch !== null) {
    ledger.recovery = {
      isComplete: Boolean(wasRecovering && recovered) && !isNew,
      isNewEpoch: isNew,
      before,
    };
  }
  ledger.epoch = position.epoch;
}

export function publication(ledger, offset) {
  if (ledger.last === null) ledger.last = offset - 1;
  if (offset <= ledger.last) {
    ledger.duplicates += 1;
    return;
  }
  ledger.gaps += offset - ledger.last - 1;
  ledger.published += offset - ledger.last;
  ledger.received += 1;
  ledger.last = offset;
}

function counts({ received, gaps, duplicates, unrecoverable }) {
  return { received, gaps, duplicates, unrecoverable };
}

// What the recovery brought, once its publications are in: null when there was none.
export function recoveryOutcome(ledger) {
  if (ledger.recovery === null) return null;
  const { before, isComplete, isNewEpoch } = ledger.recovery;
  return {
    isComplete,
    isNewEpoch,
    recovered: ledger.received - before.received,
    lost: ledger.gaps - before.gaps + ledger.unrecoverable - before.unrecoverable,
    duplicated: ledger.duplicates - before.duplicates,
  };
}
