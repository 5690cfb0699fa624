// Listeners by name; one that throws does not keep the others from hearing.

export function createEmitter() {
  const listeners = new Map();
  return {
    on(name, listener) {
      if (!listeners.has(name)) listeners.set(name, new Set());
      listeners.get(name).add(listener);
    },
    emit(name, ...values) {
      for (const listener of listeners.get(name) ?? []) {
        try {
          listener(...values);
        } catch (error) {
          reportError(error);
        }
      }
    },
  };
}
