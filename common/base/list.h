/*
 * Intrusive doubly linked list with a sentinel: no allocation, O(1) removal
 * without knowing the list.  A node is on at most one list.
 *
 *     struct item { struct wh_list link; … };
 *     struct wh_list items;  wh_list_init(&items);
 *     wh_list_push_back(&items, &item->link);
 *     struct item *first = WH_CONTAINER_OF(items.next, struct item, link);
 */
#ifndef WH_BASE_LIST_H
#define WH_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct wh_list {
    struct wh_list *next;
    struct wh_list *prev;
};

#define WH_CONTAINER_OF(pointer, type, member)                                                     \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Walk; the current node may be removed in the body, others may not. */
#define WH_LIST_EACH(node, list)                                                                   \
    for (struct wh_list *node = (list)->next, *node##_next = node->next; node != (list);           \
         node = node##_next, node##_next = node->next)

static inline void wh_list_init(struct wh_list *list)
{
    list->next = list;
    list->prev = list;
}

/* True for an empty list head and for an initialised node that is on no list. */
static inline bool wh_list_is_empty(const struct wh_list *list)
{
    return list->next == list;
}

static inline void wh_list_push_back(struct wh_list *list, struct wh_list *node)
{
    node->prev = list->prev;
    node->next = list;
    list->prev->next = node;
    list->prev = node;
}

/* Take `node` off its list; it is left initialised, so removing twice is harmless. */
static inline void wh_list_remove(struct wh_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    wh_list_init(node);
}

/* The first node, taken off; NULL when empty. */
static inline struct wh_list *wh_list_pop_front(struct wh_list *list)
{
    struct wh_list *node = list->next;
    if (node == list)
        return NULL;
    wh_list_remove(node);
    return node;
}

#endif
