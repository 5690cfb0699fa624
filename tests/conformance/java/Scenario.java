// Drives the official Java client through every feature that it has; what it prints and why is in
// sdk.mjs.

import io.github.centrifugal.centrifuge.Client;
import io.github.centrifugal.centrifuge.ClientInfo;
import io.github.centrifugal.centrifuge.ClientState;
import io.github.centrifugal.centrifuge.ConnectingEvent;
import io.github.centrifugal.centrifuge.ConnectionTokenEvent;
import io.github.centrifugal.centrifuge.ConnectionTokenGetter;
import io.github.centrifugal.centrifuge.EventListener;
import io.github.centrifugal.centrifuge.HistoryOptions;
import io.github.centrifugal.centrifuge.HistoryResult;
import io.github.centrifugal.centrifuge.JoinEvent;
import io.github.centrifugal.centrifuge.LeaveEvent;
import io.github.centrifugal.centrifuge.Options;
import io.github.centrifugal.centrifuge.PresenceResult;
import io.github.centrifugal.centrifuge.PresenceStatsResult;
import io.github.centrifugal.centrifuge.Publication;
import io.github.centrifugal.centrifuge.PublicationEvent;
import io.github.centrifugal.centrifuge.PublishResult;
import io.github.centrifugal.centrifuge.ResultCallback;
import io.github.centrifugal.centrifuge.ServerPublicationEvent;
import io.github.centrifugal.centrifuge.ServerSubscribedEvent;
import io.github.centrifugal.centrifuge.StreamPosition;
import io.github.centrifugal.centrifuge.SubscribedEvent;
import io.github.centrifugal.centrifuge.Subscription;
import io.github.centrifugal.centrifuge.SubscriptionEventListener;
import io.github.centrifugal.centrifuge.TokenCallback;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;

public final class Scenario {
    private static final long PATIENCE_MS = 10000;
    private static final String CHANNEL = System.getenv("WH_CHANNEL");
    private static final String SERVER_CHANNEL = System.getenv("WH_SERVER_CHANNEL");

    private interface Step {
        void run() throws Exception;
    }

    // What listeners saw; they run on threads of the client.
    private final AtomicInteger tokens = new AtomicInteger();
    private final AtomicInteger interruptions = new AtomicInteger();
    private final List<Integer> main = new CopyOnWriteArrayList<>();
    private final List<Integer> server = new CopyOnWriteArrayList<>();
    private final List<String> authors = new CopyOnWriteArrayList<>();
    private final List<String> joins = new CopyOnWriteArrayList<>();
    private final List<String> leaves = new CopyOnWriteArrayList<>();
    private final List<SubscribedEvent> subscribed = new CopyOnWriteArrayList<>();
    private final List<ServerSubscribedEvent> serverSubscribed = new CopyOnWriteArrayList<>();

    private final BufferedReader answers =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    private Client client;
    private Client other;
    private Subscription subscription;
    private Subscription theirs;

    private static byte[] payload(int n) {
        return ("{\"n\":" + n + "}").getBytes(StandardCharsets.UTF_8);
    }

    private static int number(byte[] data) {
        return Integer.parseInt(new String(data, StandardCharsets.UTF_8).replaceAll("\\D", ""));
    }

    private static List<Integer> count(int last) {
        List<Integer> numbers = new ArrayList<>();
        for (int n = 1; n <= last; n++) {
            numbers.add(n);
        }
        return numbers;
    }

    private static void check(boolean holds, Object what) {
        if (!holds) {
            throw new IllegalStateException(String.valueOf(what));
        }
    }

    private static void await(String what, BooleanSupplier condition) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(PATIENCE_MS);
        while (!condition.getAsBoolean()) {
            check(System.nanoTime() < deadline, "waited in vain: " + what);
            Thread.sleep(5);
        }
    }

    private static <T> T call(Consumer<ResultCallback<T>> function) throws Exception {
        CompletableFuture<T> future = new CompletableFuture<>();
        function.accept((error, result) -> {
            if (error != null) {
                future.completeExceptionally(error);
            } else {
                future.complete(result);
            }
        });
        return future.get(PATIENCE_MS, TimeUnit.MILLISECONDS);
    }

    // The test does something with the network, and then answers.
    private void ask(String what) throws IOException {
        System.out.println("ask " + what);
        check(answers.readLine() != null, "nobody did " + what);
    }

    private void publishAll(String channel, int first, int last) throws Exception {
        for (int n = first; n <= last; n++) {
            byte[] data = payload(n);
            Scenario.<PublishResult>call(done -> other.publish(channel, data, done));
        }
    }

    private static Options options(String token) {
        Options options = new Options();
        options.setToken(token);
        options.setMinReconnectDelay(20);
        options.setMaxReconnectDelay(200);
        return options;
    }

    private void connect() throws Exception {
        Options options = options(System.getenv("WH_SHORT_TOKEN"));
        options.setTokenGetter(new ConnectionTokenGetter() {
            @Override
            public void getConnectionToken(ConnectionTokenEvent event, TokenCallback done) {
                tokens.incrementAndGet();
                done.Done(null, System.getenv("WH_TOKEN"));
            }
        });
        client = new Client(System.getenv("WH_FRONT"), options, new EventListener() {
            @Override
            public void onConnecting(Client source, ConnectingEvent event) {
                interruptions.incrementAndGet();
            }

            @Override
            public void onSubscribed(Client source, ServerSubscribedEvent event) {
                serverSubscribed.add(event);
            }

            @Override
            public void onPublication(Client source, ServerPublicationEvent event) {
                if (event.getChannel().equals(SERVER_CHANNEL)) {
                    server.add(number(event.getData()));
                }
            }
        });
        other = new Client(System.getenv("WH_BACK"), options(System.getenv("WH_OTHER_TOKEN")),
                new EventListener() {});
        client.connect();
        other.connect();
        await("both connected", () -> client.getState() == ClientState.CONNECTED
                && other.getState() == ClientState.CONNECTED);
    }

    private void subscribe() throws Exception {
        subscription = client.newSubscription(CHANNEL, new SubscriptionEventListener() {
            @Override
            public void onSubscribed(Subscription source, SubscribedEvent event) {
                subscribed.add(event);
            }

            @Override
            public void onPublication(Subscription source, PublicationEvent event) {
                main.add(number(event.getData()));
                if (event.getInfo() != null) {
                    authors.add(event.getInfo().getUser());
                }
            }

            @Override
            public void onJoin(Subscription source, JoinEvent event) {
                joins.add(event.getInfo().getUser());
            }

            @Override
            public void onLeave(Subscription source, LeaveEvent event) {
                leaves.add(event.getInfo().getUser());
            }
        });
        subscription.subscribe();
        await("a recoverable subscription",
                () -> subscribed.size() == 1 && subscribed.get(0).getRecoverable());
    }

    private void serverSide() throws Exception {
        await("the subscription of the token", () -> serverSubscribed.size() == 1
                && serverSubscribed.get(0).getChannel().equals(SERVER_CHANNEL)
                && serverSubscribed.get(0).getRecoverable());
        publishAll(SERVER_CHANNEL, 1, 1);
        await("its publication", () -> server.equals(count(1)));
    }

    private void join() throws Exception {
        theirs = other.newSubscription(CHANNEL, new SubscriptionEventListener() {});
        theirs.subscribe();
        await("a join", () -> joins.contains("bob"));
    }

    private void publish() throws Exception {
        Scenario.<PublishResult>call(done -> subscription.publish(payload(1), done));
        await("the publication", () -> main.equals(count(1)) && authors.equals(List.of("ann")));
    }

    private void presence() throws Exception {
        PresenceResult presence = call(done -> subscription.presence(done));
        TreeSet<String> users = new TreeSet<>();
        presence.getClients().forEach((String id, ClientInfo info) -> {
            check(id.equals(info.getClient()), id);
            users.add(info.getUser());
        });
        check(presence.getClients().size() == 2 && users.equals(new TreeSet<>(List.of("ann", "bob"))),
                users);
    }

    private void presenceStats() throws Exception {
        PresenceStatsResult stats = call(done -> subscription.presenceStats(done));
        check(stats.getNumClients() == 2 && stats.getNumUsers() == 2, stats.getNumClients());
    }

    private void checkHistory(HistoryOptions options, List<Integer> wanted) throws Exception {
        HistoryResult history = call(done -> subscription.history(options, done));
        List<Integer> numbers = new ArrayList<>();
        for (Publication publication : history.getPublications()) {
            numbers.add(number(publication.getData()));
        }
        check(numbers.equals(wanted) && history.getOffset() == 3 && !history.getEpoch().isEmpty(),
                numbers + " in place of " + wanted);
    }

    private void history() throws Exception {
        publishAll(CHANNEL, 2, 3);
        checkHistory(new HistoryOptions.Builder().build(), List.of());
        checkHistory(new HistoryOptions.Builder().withLimit(10).build(), List.of(1, 2, 3));
        checkHistory(new HistoryOptions.Builder().withLimit(2).withReverse(true).build(),
                List.of(3, 2));
        HistoryOptions foreign = new HistoryOptions.Builder().withLimit(1)
                .withSince(new StreamPosition(1, "other")).build();
        try {
            Scenario.<HistoryResult>call(done -> subscription.history(foreign, done));
        } catch (java.util.concurrent.ExecutionException refused) {
            return;
        }
        check(false, "a history of another epoch");
    }

    private void leave() throws Exception {
        theirs.unsubscribe();
        await("a leave", () -> leaves.contains("bob"));
    }

    private void refresh() throws Exception {
        await("a call for a token", () -> tokens.get() == 1);
        ask("wait for the end of the first token");
        HistoryOptions none = new HistoryOptions.Builder().build();
        Scenario.<HistoryResult>call(done -> client.history(CHANNEL, none, done));
        check(interruptions.get() == 1, "interrupted");
    }

    private void recover() throws Exception {
        ask("cut");
        await("an interruption", () -> interruptions.get() == 2);
        publishAll(CHANNEL, 4, 30);
        publishAll(SERVER_CHANNEL, 2, 20);
        ask("mend");
        await("recovery", () -> subscribed.size() == 2 && subscribed.get(1).wasRecovering()
                && subscribed.get(1).getRecovered());
        await("what was missed", () -> main.equals(count(30)));
    }

    private void serverSideRecover() throws Exception {
        await("recovery", () -> serverSubscribed.size() == 2
                && serverSubscribed.get(1).wasRecovering() && serverSubscribed.get(1).getRecovered());
        await("what was missed", () -> server.equals(count(20)));
    }

    private void run(String name, Step step) {
        try {
            step.run();
            System.out.println("ok " + name);
        } catch (Exception error) {
            System.out.println("fail " + name + ": " + error + "; seen: " + main + server + joins
                    + leaves + authors);
            System.exit(1);
        }
    }

    public static void main(String[] none) throws Exception {
        Scenario scenario = new Scenario();
        scenario.run("connect", scenario::connect);
        scenario.run("subscribe", scenario::subscribe);
        scenario.run("server-side subscription", scenario::serverSide);
        scenario.run("join", scenario::join);
        scenario.run("publish", scenario::publish);
        scenario.run("presence", scenario::presence);
        scenario.run("presence stats", scenario::presenceStats);
        scenario.run("history", scenario::history);
        scenario.run("leave", scenario::leave);
        scenario.run("refresh", scenario::refresh);
        scenario.run("recover", scenario::recover);
        scenario.run("server-side recover", scenario::serverSideRecover);
        scenario.client.close(1000);
        scenario.other.close(1000);
        System.exit(0);
    }
}
