package io.kappamesh.connect;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.math.BigDecimal;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.source.SourceRecord;
import org.junit.jupiter.api.Test;

class KeyTextTest {
    private final KeyText<SourceRecord> transform = new KeyText<>();

    @Test
    void aSingleFieldIsItsText() {
        assertEquals("SFO", keyOf(Schema.STRING_SCHEMA, "SFO"));
        assertEquals("7", keyOf(Schema.INT32_SCHEMA, 7));
        assertEquals("9007199254740993", keyOf(Schema.INT64_SCHEMA, 9007199254740993L));
        assertEquals("AQI=", keyOf(Schema.BYTES_SCHEMA, new byte[] {1, 2}));
        assertEquals("true", keyOf(Schema.BOOLEAN_SCHEMA, true));
    }

    @Test
    void severalFieldsAreACompactJsonArrayInTheKeysOrder() {
        Schema schema = SchemaBuilder.struct().field("b", Schema.STRING_SCHEMA).field("a", Schema.INT32_SCHEMA)
                .field("c", Schema.OPTIONAL_STRING_SCHEMA).build();
        Struct key = new Struct(schema).put("b", "x\"\\\n\u0001é").put("a", 1);
        assertEquals("[\"x\\\"\\\\\\n\\u0001é\",1,null]", apply(schema, key).key());
    }

    @Test
    void aSchemalessKeyIsReadTheSameWay() {
        Map<String, Object> key = new LinkedHashMap<>();
        key.put("id", new BigDecimal("1E+3"));
        assertEquals("1000", apply(null, key).key());
        key.put("name", "x");
        assertEquals("[1000,\"x\"]", apply(null, key).key());
    }

    @Test
    void everythingElseOfTheRecordStays() {
        Schema schema = SchemaBuilder.struct().field("id", Schema.INT32_SCHEMA).build();
        SourceRecord in = record(schema, new Struct(schema).put("id", 1));
        in.headers().addString("h", "v");
        SourceRecord out = transform.apply(in);
        assertEquals(Schema.STRING_SCHEMA, out.keySchema());
        assertEquals("topic", out.topic());
        assertEquals("value", out.value());
        assertEquals("v", out.headers().lastWithName("h").value());
        assertEquals(in.sourceOffset(), out.sourceOffset());
    }

    @Test
    void noKeyAndTextKeysPass() {
        SourceRecord none = record(null, null);
        assertSame(none, transform.apply(none));
        assertNull(transform.apply(none).key());
        SourceRecord text = record(Schema.STRING_SCHEMA, "k");
        assertSame(text, transform.apply(text));
    }

    @Test
    void aKeyWithoutATextFormIsRefused() {
        Schema inner = SchemaBuilder.struct().field("x", Schema.INT32_SCHEMA).build();
        Schema schema = SchemaBuilder.struct().field("point", inner).build();
        Struct key = new Struct(schema).put("point", new Struct(inner).put("x", 1));
        assertThrows(DataException.class, () -> apply(schema, key));
    }

    private String keyOf(Schema type, Object value) {
        Schema schema = SchemaBuilder.struct().field("id", type).build();
        return (String) apply(schema, new Struct(schema).put("id", value)).key();
    }

    private SourceRecord apply(Schema schema, Object key) {
        return transform.apply(record(schema, key));
    }

    private static SourceRecord record(Schema schema, Object key) {
        return new SourceRecord(Map.of("server", "s"), Map.of("lsn", 1L), "topic", null, schema, key,
                Schema.STRING_SCHEMA, "value", 5L);
    }
}
