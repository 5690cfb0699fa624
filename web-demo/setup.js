// What the page cannot know by itself.  ./dev up serves its own version of this file.
//
// redis_port  port of the Redis that the hub listens to; null: this hub has none;
//             left out: unknown
// trace_url   what shows a trace, as 'http://127.0.0.1:16686/trace/{trace}'; left out: nothing does
export const setup = {};
