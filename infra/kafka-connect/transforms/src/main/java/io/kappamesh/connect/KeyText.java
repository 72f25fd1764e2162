package io.kappamesh.connect;

import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.connect.connector.ConnectRecord;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.transforms.Transformation;

/**
 * Turns the structured key of a change record into the text that the mesh keys and partitions by: the value of the only
 * field, or a compact JSON array of the values of several, in the key's order. A record without a key passes untouched.
 * With {@code document.id} the only field holds a MongoDB {@code _id} as Extended JSON, see {@link DocumentId}.
 */
public final class KeyText<R extends ConnectRecord<R>> implements Transformation<R> {
    private static final String DOCUMENT_ID = "document.id";
    private static final ConfigDef CONFIG = new ConfigDef().define(DOCUMENT_ID, ConfigDef.Type.BOOLEAN, false,
            ConfigDef.Importance.LOW, "The key holds a MongoDB _id as Extended JSON.");

    private boolean documentId;

    @Override
    public R apply(R record) {
        Object key = record.key();
        if (key == null || key instanceof String) {
            return record;
        }
        String text = documentId ? DocumentId.textOf(textOf(key)) : textOf(key);
        return record.newRecord(record.topic(), record.kafkaPartition(), Schema.STRING_SCHEMA, text,
                record.valueSchema(), record.value(), record.timestamp());
    }

    static String textOf(Object key) {
        List<Object> values = fieldsOf(key);
        if (values.size() == 1) {
            return plain(values.get(0));
        }
        StringBuilder json = new StringBuilder("[");
        for (Object value : values) {
            if (json.length() > 1) {
                json.append(',');
            }
            json.append(json(value));
        }
        return json.append(']').toString();
    }

    private static List<Object> fieldsOf(Object key) {
        if (key instanceof Struct struct) {
            List<Object> values = new ArrayList<>();
            for (Field field : struct.schema().fields()) {
                values.add(struct.get(field));
            }
            return values;
        }
        if (key instanceof Map<?, ?> map) {
            return new ArrayList<>(map.values());
        }
        List<Object> one = new ArrayList<>();
        one.add(key);
        return one;
    }

    private static String plain(Object value) {
        if (value == null) {
            return "null";
        }
        if (value instanceof String || value instanceof Number || value instanceof Boolean) {
            return value instanceof BigDecimal decimal ? decimal.toPlainString() : value.toString();
        }
        if (value instanceof byte[] bytes) {
            return Base64.getEncoder().encodeToString(bytes);
        }
        if (value instanceof ByteBuffer buffer) {
            ByteBuffer copy = buffer.duplicate();
            byte[] bytes = new byte[copy.remaining()];
            copy.get(bytes);
            return Base64.getEncoder().encodeToString(bytes);
        }
        throw new DataException("a key of type " + value.getClass().getName() + " has no text form");
    }

    private static String json(Object value) {
        if (value == null || value instanceof Number || value instanceof Boolean) {
            return plain(value);
        }
        return quote(plain(value));
    }

    /** As JSON.stringify has it: only what JSON demands is escaped. */
    private static String quote(String text) {
        StringBuilder out = new StringBuilder("\"");
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            switch (c) {
                case '"' -> out.append("\\\"");
                case '\\' -> out.append("\\\\");
                case '\b' -> out.append("\\b");
                case '\f' -> out.append("\\f");
                case '\n' -> out.append("\\n");
                case '\r' -> out.append("\\r");
                case '\t' -> out.append("\\t");
                default -> {
                    if (c < 0x20) {
                        out.append(String.format("\\u%04x", (int) c));
                    } else {
                        out.append(c);
                    }
                }
            }
        }
        return out.append('"').toString();
    }

    @Override
    public ConfigDef config() {
        return CONFIG;
    }

    @Override
    public void configure(Map<String, ?> configs) {
        documentId = (Boolean) CONFIG.parse(configs).get(DOCUMENT_ID);
    }

    @Override
    public void close() {
        // It holds nothing.
    }
}
