package io.kappamesh.connect;

import java.math.BigDecimal;
import java.util.Base64;
import java.util.HexFormat;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The text of a document's {@code _id}, which Debezium's MongoDB connector writes as relaxed Extended JSON: a text is itself,
 * an ObjectId its hex digits, a number its digits, a UUID in its usual form, other bytes base64, a date ISO 8601. What is left
 * (documents, timestamps, dates outside 1970 to 9999) stays as it is written.
 */
final class DocumentId {
    private static final Pattern TEXT_VALUE =
            Pattern.compile("\\{\"\\$(?:oid|numberDecimal|numberLong|date)\": ?\"([^\"\\\\]*)\"}");
    private static final Pattern BINARY =
            Pattern.compile("\\{\"\\$binary\": ?\\{\"base64\": ?\"([^\"]*)\", ?\"subType\": ?\"([0-9a-f]{2})\"}}");
    private static final Pattern UUID = Pattern.compile("(.{8})(.{4})(.{4})(.{4})(.{12})");
    private static final Pattern DOUBLE = Pattern.compile("-?\\d+\\.\\d+(?:E-?\\d+)?");

    private DocumentId() {
    }

    static String textOf(String json) {
        if (json.length() >= 2 && json.charAt(0) == '"') {
            return unquote(json);
        }
        Matcher text = TEXT_VALUE.matcher(json);
        if (text.matches()) {
            return text.group(1);
        }
        Matcher binary = BINARY.matcher(json);
        if (binary.matches()) {
            return bytes(binary.group(1), binary.group(2));
        }
        return DOUBLE.matcher(json).matches() ? digits(json) : json;
    }

    private static String bytes(String base64, String subType) {
        byte[] bytes = Base64.getDecoder().decode(base64);
        if (!subType.equals("04") || bytes.length != 16) {
            return base64;
        }
        return UUID.matcher(HexFormat.of().formatHex(bytes)).replaceFirst("$1-$2-$3-$4-$5");
    }

    /** 5.0 and 5 are one id to MongoDB. */
    private static String digits(String number) {
        BigDecimal value = new BigDecimal(number);
        return value.signum() == 0 ? "0" : value.stripTrailingZeros().toPlainString();
    }

    private static String unquote(String json) {
        StringBuilder out = new StringBuilder();
        for (int i = 1; i < json.length() - 1; i++) {
            char c = json.charAt(i);
            if (c != '\\') {
                out.append(c);
                continue;
            }
            char escaped = json.charAt(++i);
            switch (escaped) {
                case 'b' -> out.append('\b');
                case 'f' -> out.append('\f');
                case 'n' -> out.append('\n');
                case 'r' -> out.append('\r');
                case 't' -> out.append('\t');
                case 'u' -> {
                    out.append((char) Integer.parseInt(json.substring(i + 1, i + 5), 16));
                    i += 4;
                }
                default -> out.append(escaped);
            }
        }
        return out.toString();
    }
}
