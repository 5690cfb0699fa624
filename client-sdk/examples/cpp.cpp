// cpp URL CHANNEL: a client in C++17.  The two classes are all that RAII needs here: copy them.
#include <wirehub/wirehub.h>

#include <functional>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

class Client {
  public:
    explicit Client(const std::string &url)
    {
        wh_client_options options{};
        options.size = sizeof options;
        options.url = url.c_str();
        wh_error detail{};
        wh_client *client = nullptr;
        if (wh_client_new(&options, &client, &detail) != WH_OK)
            throw std::invalid_argument(detail.text);
        handle_.reset(client);
    }
    wh_client *get() const
    {
        return handle_.get();
    }

  private:
    std::unique_ptr<wh_client, decltype(&wh_client_free)> handle_{nullptr, wh_client_free};
};

class Subscription { // its client owns it
  public:
    using Handler = std::function<void(std::string_view)>;
    Subscription(const Client &client, const std::string &channel, Handler handler)
    {
        wh_sub_events events{};
        events.size = sizeof events;
        events.publication = [](wh_sub *, const wh_publication *pub, void *user) {
            (*static_cast<Handler *>(user))(
                {static_cast<const char *>(pub->data.ptr), pub->data.len});
        };
        wh_sub_options options{};
        options.size = sizeof options;
        options.events = &events;
        options.user = new Handler(std::move(handler)); // freed after its last call
        options.user_free = [](void *user) { delete static_cast<Handler *>(user); };
        wh_error detail{};
        wh_sub *sub = nullptr;
        if (wh_sub_new(client.get(), channel.c_str(), &options, &sub, &detail) != WH_OK) {
            options.user_free(options.user);
            throw std::invalid_argument(detail.text);
        }
        if (wh_sub_subscribe(sub) != WH_OK)
            throw std::runtime_error("cannot subscribe");
    }
};

int main(int argc, char **argv)
{
    if (argc != 3) {
        std::cerr << "usage: cpp URL CHANNEL\n";
        return 2;
    }
    try {
        Client client{argv[1]};
        Subscription subscription{client, argv[2],
                                  [](std::string_view data) { std::cout << data << std::endl; }};
        wh_client_connect(client.get());
        std::cin.get(); // until Enter, or the end of stdin
    } catch (const std::exception &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
