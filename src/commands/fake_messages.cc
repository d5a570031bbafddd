// Makes phone numbers of several countries, and texts in several languages.
#include "commands/fake_messages.h"

#include <array>
#include <string_view>

namespace messaging::commands {
namespace {

struct Country {
    std::string_view prefix;  // country code and the first digits of a mobile number
    int digits;               // that follow
};
constexpr std::array<Country, 10> kCountries = {{{"+90555", 7},
                                                 {"+4915", 9},
                                                 {"+447", 9},
                                                 {"+336", 8},
                                                 {"+346", 8},
                                                 {"+3934", 8},
                                                 {"+14152", 6},
                                                 {"+8190", 8},
                                                 {"+55119", 8},
                                                 {"+9198", 8}}};

constexpr std::array<std::string_view, 12> kNames = {"Ayşe",  "Mehmet", "Zoë",  "José",  "Łukasz", "Anna",
                                                     "Søren", "Chloé",  "Yuki", "Priya", "João",   "Emma"};
// {n} a name, {c} a code, {t} a time
constexpr std::array<std::string_view, 12> kTexts = {"Hi {n}, your parcel {c} arrives today between {t} and 18:00.",
                                                     "Merhaba {n}, doğrulama kodunuz: {c}. Kimseyle paylaşmayın.",
                                                     "{n}, your appointment is confirmed for {t}. Reply C to cancel.",
                                                     "Hallo {n}, Ihre Rechnung {c} ist verfügbar. Vielen Dank für Ihren Einkauf!",
                                                     "Bonjour {n}, votre commande {c} est prête à être retirée dès {t} 📦",
                                                     "¡Hola {n}! Tu código de acceso es {c}. Caduca en 10 minutos.",
                                                     "Your one-time password is {c} 🔐 It expires at {t}.",
                                                     "{n} さん、ご予約（{c}）は{t}に確定しました。",
                                                     "Olá {n}, o pagamento {c} foi recebido às {t} ✅",
                                                     "नमस्ते {n}, आपका ऑर्डर {c} भेज दिया गया है 🚚",
                                                     "Reminder: {n}, the meeting starts at {t}. Room {c}.",
                                                     "Happy birthday, {n}! 🎉 Here are 10 % off with {c}."};

}  // namespace

std::size_t FakeMessages::below(std::size_t limit) { return static_cast<std::size_t>(generator_() % limit); }

FakeMessage FakeMessages::next() {
    FakeMessage message;
    const Country& country = kCountries[below(kCountries.size())];
    message.recipient = country.prefix;
    for (int i = 0; i < country.digits; ++i) message.recipient.push_back(static_cast<char>('0' + below(10)));
    const std::string_view text = kTexts[below(kTexts.size())];
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '{') {
            message.content.push_back(text[i]);
            continue;
        }
        const char what = text[i + 1];
        i += 2;
        if (what == 'n') {
            message.content += kNames[below(kNames.size())];
        } else if (what == 'c') {
            message.content += std::to_string(100000 + below(900000));
        } else {
            message.content += std::to_string(8 + below(10)) + (below(2) == 0 ? ":00" : ":30");
        }
    }
    return message;
}

}  // namespace messaging::commands
