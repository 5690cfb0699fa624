// What the page cannot know by itself.  ./dev up serves its own version of this file.
//
// redis_port  port of the Redis that the hub listens to; null: this hub has none;
//             left out: unknown
export const setup = {};
